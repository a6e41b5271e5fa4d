"""Caches that processes share: keys and values in a mapped file (LMDB). May know buses. Private."""
