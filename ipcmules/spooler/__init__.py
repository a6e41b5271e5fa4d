"""Spool directories: a task's file, its name, and what may be done with it (docs/formats-spooler.md).

Files only: knows nothing of the bus, of processes that run tasks, or of what a task means.
"""
