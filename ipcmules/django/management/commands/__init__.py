"""The commands, by their files' names."""
