"""The kernel objects and files of a bus: made, found, removed. May know the loop. Private."""
