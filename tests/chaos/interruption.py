"""In the processes under fire: a timer whose Python signal handler raises, at random within a call.

    data = interruption.call("receive", get)     Interrupted if the timer came before get() had returned

A call that had returned already counts as made. So what was interrupted has returned nothing, and nothing it
was about to return may be lost: a receive's message is returned later, or once a dead letter.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

from chaos import records

#: Of all calls that may be interrupted, how many get a timer, and the timer's longest time, seconds. Most
#: calls take microseconds, so short times are as frequent as long ones.
SHARE, _LONGEST = 0.1, 1e-3
_NOTHING = object()

_on = records.does("interrupt")
_random = random.Random()
_armed: list[bool] = []
_process = 0
_spared: set[CodeType] = set()


class Interrupted(Exception):
    """What the handler raises."""


def spare(function: Callable[..., Any]) -> None:
    """Nothing is raised in this function, nor in what it calls: it writes down what the ledger counts."""
    _spared.add(function.__code__)


def call(kind: str, function: Callable[[], Any], share: float = SHARE) -> Any:
    """The result of a call, which a timer may interrupt: then Interrupted, and a record of this kind.

    function: one written in Python. CPython looks for signals when a call of C code has returned, so between
    such a call and the line that stores its result there would be a place to lose it.
    """
    if not _on or _random.random() >= share:
        return function()
    result = _NOTHING
    try:
        _arm()
        result = function()
        _armed.clear()
    except Interrupted:
        if result is _NOTHING:
            records.write("interrupted", f"{kind} {os.getpid()}")
            raise
    finally:
        _armed.clear()  # it may have raised something else
    return result


def burn(kind: str, share: float = SHARE) -> None:
    """Some work that may be interrupted."""
    call(kind, _work, share)


def _work() -> None:
    until = time.monotonic() + _LONGEST / 2
    while time.monotonic() < until:
        pass


def _arm() -> None:
    global _process
    if _process != os.getpid():
        # A random number generator is copied by a fork, and a timer is not.
        _random.seed()
        signal.signal(signal.SIGALRM, _raise)
        _process = os.getpid()
    signal.setitimer(signal.ITIMER_REAL, _LONGEST * 10 ** _random.uniform(-2.3, 0))
    _armed.append(True)


def _raise(_signum: int, frame: FrameType | None) -> None:
    if not _armed:
        return
    while frame is not None and frame.f_code is not _work.__code__:
        if frame.f_code in _spared:
            return
        frame = frame.f_back
    _armed.clear()
    raise Interrupted
