"""The stacks of this process: told by a signal, it writes those of its threads, and dies of one of the two.

The handler is C code (faulthandler.register) that runs in the interrupted thread without the interpreter's
lock, so it works while the process is stuck in C code, holds that lock or waits for one. ASK ends the
process by itself: a system call that the signal interrupts must not let it go on. TELL is for people who
look: it goes on. Only a stopped process does not answer.
"""

from __future__ import annotations

import io
import os
import signal

from ipcmules.bus import log

#: A real-time signal, because apps have uses of their own for the others.
ASK, TELL = int(signal.SIGRTMAX) - 2, int(signal.SIGRTMAX) - 3

#: Kept open for as long as the handler may write to it; named so that it is done once a process.
_file: io.FileIO | None = None
_process = 0


def ready(path: str) -> None:
    """From now on TELL makes this process write its stacks to path, and ASK so and end. Once a process.

    Where the file cannot be made ASK ends the process without a word.
    """
    global _file, _process
    if _process == os.getpid():
        return
    import faulthandler

    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW
    try:
        if os.path.islink(path):  # to a predecessor's file that was removed (objects/upkeep.py)
            os.unlink(path)
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:  # a full disk: it lives without
        log.event("warning", f"{path} cannot be written: {error.strerror}; harakiri will tell no stacks")
        for each in (ASK, TELL):  # the template's, which would write to the template's file
            faulthandler.unregister(each)
        _process = os.getpid()
        return
    before, _file = _file, io.FileIO(descriptor, "wb")
    # chain: what the signal did before comes after the dump, which is its default: the end (signal(7)).
    faulthandler.register(ASK, file=_file, all_threads=True, chain=True)
    faulthandler.register(TELL, file=_file, all_threads=True)
    if before is not None:  # of the template: its file is not this process's
        before.close()
    _process = os.getpid()
