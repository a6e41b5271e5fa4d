"""The task that this process runs, as its function sees it: current_task().

Whoever runs tasks says what it runs by `source`. Knows files in results/; runs nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ipcmules.kernel.exhaustion import importing
from ipcmules.kernel.printable import shown
from ipcmules.spooler import cancelling, names, outcomes

#: Progress is written no more often than this, seconds, but for the last.
_RARELY = 0.1
#: Seconds for which it is kept that nobody removes, as after a kill.
_KEEP = 86400.0
#: So many characters of a note are kept.
_LONGEST_NOTE = 4096


class CurrentTask:
    """The task in hand. id: as ipcmules.task() takes it. path: of its file. function: the function's name.

    directory, name: its spool directory ("" for none) and its name in it. attempt: which one this is, from 1.
    enqueued: when, in seconds since 1970 (as its name says; 0.0 where it does not).
    """

    def __init__(
        self, directory: str, name: str, function: str, attempt: int, is_ending: Callable[[], bool]
    ) -> None:
        self.id = names.id_of(name)
        self.path = f"{directory}/{name}" if directory else name
        self.function = function
        self.attempt = attempt
        self.enqueued = (names.fifo_key(name) or 0) / 1e6
        #: The last progress(), None before the first.
        self.said: dict[str, Any] | None = None
        self.directory = directory
        self.name = name
        self._is_ending = is_ending
        self._not_before = 0.0

    def __repr__(self) -> str:
        return f"<task {self.id} of {self.function}, attempt {self.attempt}>"

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Say how far it is; the handle's .progress tells it.

        Written at most ten times a second, and at done >= total; never raises for a disk that is full.
        Raises TypeError for what is no number, or no text; of a note 4,096 characters are kept.
        """
        done, total = _number("done", done), None if total is None else _number("total", total)
        if not isinstance(note, str):
            raise TypeError(f"progress(note={shown(note)}): give text as str")
        now = time.time()
        self.said = {"done": done, "total": total, "note": note[:_LONGEST_NOTE], "time": now}
        if now < self._not_before and (total is None or done < total):
            return
        self.write()

    def write(self) -> None:
        """Write down now what progress() said last."""
        self._not_before = time.time() + _RARELY
        if not self.directory or self.said is None:
            return
        with importing:
            import json

        try:
            data = json.dumps(self.said).encode()
            until = self.said["time"] + _KEEP
            outcomes.put(self.directory, names.progress_of(self.name), data, until)
        except OSError:
            pass  # the work is what counts

    def stopping(self) -> bool:
        """True once the function should come to an end: its process was told to, or the task is cancelled.

        What it raises after a stop of the process is no attempt: the task runs again.
        """
        return self._is_ending() or (bool(self.directory) and cancelling.is_asked(self.path))


def _number(what: str, value: Any) -> float:
    """A number as JSON has it. Raises TypeError for what is none."""
    if type(value) is float or (type(value) is int and abs(value) < 1 << 64):
        return value
    try:
        if not isinstance(value, (str, bytes)):
            return float(value)  # as of Decimal, or numpy's
    except (TypeError, ValueError, OverflowError):
        pass
    raise TypeError(f"progress({what}={shown(value)}): give a number, as progress(3, 10)")


#: What says which task this process runs now; set by whoever runs them.
source: Callable[[], CurrentTask | None] | None = None


def current_task() -> CurrentTask | None:
    """The task that this process runs, for all its threads and coroutines; None where it runs none."""
    return source() if source is not None else None
