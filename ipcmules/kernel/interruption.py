"""What a program's signal handler does to the code that it interrupts, and how to tell its errors from ours.

A Python signal handler runs between two steps of whatever the main thread does, and may raise there. CPython
(3.10 to 3.13) runs it after a call, at the beginning of a function and when a loop goes on; 3.10 also where
a condition jumps, and at the beginning of an except or finally block. So a stretch without calls, loops and
taken jumps happens as a whole, and so does one call of C code, whatever it calls in its turn. What must not
be lost is either done in such a stretch, or written down in one step, for whoever comes next: the same call
again, another thread, or the handler itself, which may call what it interrupted.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from itertools import chain
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")


def noted(opened: list[T], call: Callable[..., T], *arguments: Any) -> T:
    """Make a call, of C code, and append what it returns to a list, in one step. Returns it.

    For descriptors and the like: whoever has the list closes them, whatever a handler raises here. Without a
    note one that has been opened just then would be lost, and stay open for good.
    """
    opened.extend(map(call, *((each,) for each in arguments)))
    return opened[-1]


def opened(path: str, flags: int, mode: int = 0o600) -> io.FileIO:
    """A file, opened by open(2) with these flags, for a with statement. Raises OSError.

    Opened in one step of C code: a number alone would be lost, and stay open for good, where a signal handler
    raises before it has a name (kernel/interruption.py). The with statement ends in C code too.
    """
    steps: Iterator[Any] = chain(map(os.open, (path,), (flags | os.O_CLOEXEC,), (mode,)), ("r+",))
    return io.FileIO(*steps)


def raised_here(error: BaseException) -> bool:
    """True if this package raised it, or C code that it called; False if a handler of the program did.

    An error of a call that fails must not be taken for one that a handler raised meanwhile, such as a
    TimeoutError, which is an OSError too.
    """
    trace = error.__traceback__
    return trace is None or _last(trace).tb_frame.f_globals.get("__package__", "").startswith(_PACKAGE)


def _last(trace: TracebackType) -> TracebackType:
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace


_PACKAGE = __name__.partition(".")[0]
