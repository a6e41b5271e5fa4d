"""The command line: one file a command, and the readers of configuration files."""
