"""A signal handler at every place of a call where Python can run one, one place after the other.

Handlers run where CPython looks whether a signal came: after a call, at the beginning of a function and where
a loop goes on (kernel/interruption.py). every() finds these places with a trace function and acts there, so a
test does not depend on the luck of a timer. Which instructions look is a matter of the version: 3.11 to 3.13
agree; 3.10 looks at more places and is left to the timers.
"""

from __future__ import annotations

import dis
import functools
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

#: Whether every place can be found.
EXACT = sys.version_info >= (3, 11)

_MOST = 50_000


class Interruption(Exception):
    """What the handlers here raise."""


class _Code:
    """Of a code object: after which offsets handlers run, and what handles an exception at an offset."""

    def __init__(self, code: CodeType) -> None:
        self.looks: set[int] = set()
        for each in dis.get_instructions(code):
            if each.opname.startswith(("CALL", "JUMP_BACKWARD", "POP_JUMP_BACKWARD")) and (
                "INTRINSIC" not in each.opname and "NO_INTERRUPT" not in each.opname
            ):
                self.looks.add(each.offset)
        parse: Callable[[CodeType], list[Any]] = dis._parse_exception_table  # type: ignore[attr-defined]
        self._table = [(each.start, each.end, each.target) for each in parse(code)]

    def handler(self, offset: int) -> int:
        for start, end, target in self._table:
            if start <= offset < end:
                return int(target)
        return -1


_known = functools.cache(_Code)


class _Trace:
    """Counts the places that a call comes to, and acts at one of them."""

    def __init__(self, place: int, act: Callable[[], object], caller: str, within: str) -> None:
        self._within_files = within
        #: The file that is left alone: what is interrupted there was returned already.
        self._caller = caller
        self._left = place
        self._act = act
        self._last: dict[FrameType, int] = {}
        #: Of a frame: what Python functions its last instruction entered.
        self._entered: dict[FrameType, list[str]] = {}
        self.acted = ""

    def start(self, frame: FrameType, event: str, argument: object) -> Any:
        """The trace function of new frames."""
        if frame.f_code.co_filename in (__file__, self._caller) or self.acted:
            return None
        if not frame.f_code.co_filename.startswith(self._within_files):
            return None
        if frame.f_back in self._last:
            self._entered.setdefault(frame.f_back, []).append(frame.f_code.co_name)
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if frame.f_code.co_name != "<genexpr>":  # it may be entered to be closed, where nothing is looked at
            self._place(frame)
        return self._within

    def _within(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "opcode" and not self.acted:
            code, last = _known(frame.f_code), self._last.get(frame, -1)
            self._last[frame] = frame.f_lasti
            entered = self._entered.pop(frame, [])
            looked = last in code.looks and not _is_return(entered)
            if looked and code.handler(last) == code.handler(frame.f_lasti):
                self._place(frame)
        elif event == "return":
            self._last.pop(frame, None)
        return self._within

    def _place(self, frame: FrameType) -> None:
        if _in_del(frame):
            return  # Python swallows what is raised there: no program can rely on it
        self._left -= 1
        if not self._left:
            self.acted = f"{frame.f_code.co_qualname}:{frame.f_lineno}, {frame.f_lasti}"  # type: ignore[attr-defined]
            sys.settrace(None)
            self._last.clear()  # frames hold what is open in them
            self._entered.clear()
            self._act()


def _in_del(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def _is_return(entered: list[str]) -> bool:
    """True after a call of a Python function by Python code: its return is no place."""
    return len(entered) == 1 and entered[0] not in ("__init__", "__del__", "<genexpr>")


def every(
    call: Callable[[], object],
    act: Callable[[], object],
    prepare: Callable[[], object] = lambda: None,
    step: int = 1,
    within: str = "",
) -> Iterator[tuple[str, object]]:
    """Make the call again and again; act() where Python can run a handler, at the next place each time.

    prepare() comes before each call, undisturbed. Yields where that was, and what it returned or raised.
    Ends with a call that came to no further place. step: leave so many places out, less one. within: only in
    files whose names begin so.
    """
    for place in range(1, _MOST, step):
        prepare()
        trace = _Trace(place, act, call.__code__.co_filename, within)
        before = sys.gettrace()
        sys.settrace(trace.start)
        try:
            result = call()
        except Interruption as error:
            result = error
        finally:
            sys.settrace(before)
        if not trace.acted:
            return
        yield trace.acted, result
    raise AssertionError(f"more than {_MOST} places: does the call end?")


def interrupt() -> None:
    """A handler that raises."""
    raise Interruption
