"""The end of a process that user code forked, where that code comes back to ours.

A handler, hook, function or program may fork, and its child may return or raise as its parent does. The child
is not the mule, worker or spooler: it receives nothing and handles nothing, and ends here. Knows the log and
membership.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import NoReturn

from ipcmules.bus import log
from ipcmules.member import membership


def end(what: str, error: BaseException | None = None) -> NoReturn:
    """End this forked process, having given up its lanes and written what it has buffered.

    what forked it, for people. error: what it raised; its traceback is logged, and the code is 1, or that of
    a SystemExit. Without one the code is 0.
    """
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        code = 1
        log.exception(f"a process that {what} forked raised, and ends:")
    try:
        member = membership.peek()
        if member is not None:
            member.close()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    finally:
        os._exit(code & 0xFF)


@contextlib.contextmanager
def guarded(what: str) -> Iterator[None]:
    """Around user code: a child that it forks, and that comes out of it, ends. what: as in end()."""
    pid = os.getpid()
    try:
        yield
    except BaseException as error:
        if os.getpid() != pid:
            end(what, error)
        raise
    if os.getpid() != pid:
        end(what)
