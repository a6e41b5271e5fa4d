"""The spooler below its processes: task files, the directory they are in, calls of decorated functions."""
