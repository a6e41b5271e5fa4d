"""Mules and started workers: their programs, their wait loop. May know process. Private."""
