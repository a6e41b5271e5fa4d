"""Handlers of signals in a process that was just forked, set without the signal module's enums.

signal.signal() makes an enum of each number and back: code and objects that many idle mules would have a copy
of, each its own. Knows the interpreter alone.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # typeshed has none
from collections.abc import Callable
from types import FrameType

IGNORE = int(_signal.SIG_IGN)
#: What is called at a signal, or IGNORE.
Handler = Callable[[int, FrameType | None], object] | int


def set_handler(signum: int, handler: Handler) -> None:
    """Have a handler called at a signal."""
    _signal.signal(int(signum), handler)
