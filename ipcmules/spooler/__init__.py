"""Spool directories: a task's file, its name, and what may be done with it (docs/formats-spooler.md).

Files, and the word to the spoolers that one has come (wake.py). May know messages and all below; nothing of
the processes that run tasks, or of what a task means. Private.
"""
