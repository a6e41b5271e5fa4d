"""The flat functions, one file a subject; `ipcmules` offers them.

May know process and all below, never the master. Private.
"""
