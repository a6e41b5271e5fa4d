"""The last words of this process: told by a signal, it writes the Python stacks of its threads and dies.

The handler is C code (faulthandler.register) that runs in the interrupted thread without the interpreter's
lock, so it works while the process is stuck in C code, holds that lock or waits for one. It ends the
process by itself: a system call that the signal interrupts must not let it go on. Only a stopped process
does not answer.
"""

from __future__ import annotations

import os
import signal
from typing import IO

#: A real-time signal, because apps have uses of their own for the others.
ASK = int(signal.SIGRTMAX) - 2

#: Kept open for as long as the handler may write to it; named so that it is done once a process.
_file: IO[bytes] | None = None
_process = 0


def ready(path: str) -> None:
    """From now on ASK makes this process write its stacks to path, and end. Called again it does nothing."""
    global _file, _process
    if _process == os.getpid():
        return
    import faulthandler

    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    before, _file = _file, os.fdopen(descriptor, "wb", buffering=0)
    # chain: what the signal did before comes after the dump, which is its default: the end (signal(7)).
    faulthandler.register(ASK, file=_file, all_threads=True, chain=True)
    if before is not None:  # of the template: its file is not this process's
        before.close()
    _process = os.getpid()
