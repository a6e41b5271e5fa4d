"""Bytes that processes share, by number, in shared memory or a file: uWSGI's. May know buses. Private."""
