"""The spooler process: which task is next, and running it. May know process. Private."""
