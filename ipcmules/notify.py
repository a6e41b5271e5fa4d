"""The word to the master that the table has changed: one byte in its notify FIFO.

Knows the FIFO's path and nothing else; every process of a bus may say it.
"""

from __future__ import annotations

import os


def tell_master(path: str) -> None:
    """Have the master look at the table, if there is a master. Never waits."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(descriptor, b"w")
    except OSError:
        pass  # full: it has not looked yet, and will
    finally:
        os.close(descriptor)
