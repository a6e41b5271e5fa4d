"""A bus as an object in a program: Bus, attach(), and the arguments they take.

May know the api. Private; `ipcmules` offers both.
"""
