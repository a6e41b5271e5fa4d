"""The word to the master that the table has changed: one byte in its notify FIFO.

Knows the FIFO's path and nothing else; every process of a bus may say it.
"""

from __future__ import annotations

import os

from ipcmules.kernel.interruption import opened

_FLAGS = os.O_WRONLY | os.O_NONBLOCK


def tell_master(path: str) -> None:
    """Have the master look at the table, if there is a master. Never waits."""
    try:
        with opened(path, _FLAGS) as file:
            os.write(file.fileno(), b"w")
    except OSError:
        pass  # there is none; or it is full: then it has not looked yet, and will
