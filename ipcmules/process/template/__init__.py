"""The template that loads the app once, and what each process forked from it does first.

May know the rest of process. Private.
"""
