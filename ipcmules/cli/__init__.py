"""The command line: one file a command, and the readers of configuration files.

May know everything; alone knows click, rich and TOML. Private: the command `ipcmules` is its face.
"""
