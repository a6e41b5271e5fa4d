"""That common tasks have succeeded, in as few system calls as it takes: open, write, set a time, close.

Whatever is not common goes the long way (outcomes.py), which says why a value is not kept. Names are looked
up relative to a descriptor of the spool directory. Knows files and how results are written.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ipcmules.spooler import names, outcomes
from ipcmules.spooler.calls import SpoolFunction


def _number(value: int) -> tuple[str, bytes, str]:
    """As outcomes.pack(), in a fraction of the time."""
    return ("json", b"%d" % value, "") if -_LARGE < value < _LARGE else outcomes.pack(value)


#: Larger ones JSON does not keep (outcomes.py).
_LARGE = 1 << 63
_SIMPLE: dict[type, Callable[[Any], tuple[str, bytes, str]]] = {
    int: _number,
    type(None): lambda _value: ("json", b"null", ""),
}


class Successes:
    """Of one process. directory: a descriptor of the spool directory."""

    def __init__(self) -> None:
        self._directory = -1
        self._open = os.open
        #: The first lines of results by function, with room for the time and the encoding.
        self._lines: dict[str, str] = {}

    def may_be_told(self, name: str, directory: int) -> bool:
        """False if nothing is said yet of how a task ended."""
        return os.access(names.result_of(name), os.F_OK, dir_fd=directory)

    def tell(self, name: str, function: SpoolFunction, returned: Any, keep: float, directory: int) -> bool:
        """Say for so many seconds what a task returned, at its first attempt. False: not in this way, and
        nothing is said."""
        if directory != self._directory:
            self._directory, self._open = directory, partial(os.open, dir_fd=directory)
        encoding, value, problem = _SIMPLE.get(returned.__class__, outcomes.pack)(returned)
        if problem:
            return False
        line = self._lines.get(function.whole) or self._line(function.whole)
        now = time.time()
        data = (line % (repr(now), encoding)).encode() + value
        try:
            return outcomes.put_at_once(names.result_of(name), data, now + keep, self._open)
        except OSError:
            return False

    def _line(self, function: str) -> str:
        about = outcomes.End(outcomes.SUCCEEDED, 0.0, function=function)._asdict()
        del about["value"]
        about["time"], about["encoding"] = "\0time", "\0encoding"
        text = json.dumps(about).replace("%", "%%")
        line = text.replace('"\\u0000time"', "%s").replace("\\u0000encoding", "%s") + "\n"
        self._lines[function] = line
        return line
