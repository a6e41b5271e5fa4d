"""Numbered locks that the kernel frees when their holder dies. May know the kernel. Private."""
