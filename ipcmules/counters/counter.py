"""A counter as an application has it, and how a process finds those of its bus."""

from __future__ import annotations

import os
from collections.abc import Callable

from ipcmules.bus import table
from ipcmules.bus.places import Places
from ipcmules.counters import segment
from ipcmules.counters.segment import Segment, wrapped
from ipcmules.errors import BusStopped, CounterError

#: The open segments of this process, by path.
_open: dict[str, Segment] = {}


def path_of(where: Places) -> str:
    """The path of a bus's counters."""
    return f"/dev/shm{where.kernel}counters"


def opened(where: Places, shared: table.Table | None) -> Segment:
    """The counters of a bus, made if it has none yet. Raises BusStopped, AccessError, LimitError.

    shared: its table, which says whether it has ended; None for its master, which knows.
    """
    path = path_of(where)
    found = _open.get(path)
    if found is not None and not found.over:
        return found
    made = Segment(path)
    # Its master may have removed everything a moment ago: then nobody would remove this one.
    if shared is not None and shared.cells[table.H_STATE] == table.STOPPED:
        segment.mark_over(path)
        os.unlink(path)
        made.close()
        raise BusStopped(f"bus {where.bus!r} has stopped, and its counters are gone")
    _open[path] = made
    return made


def values(where: Places) -> dict[str, int]:
    """All counters of a bus, for whoever looks at it; {} where it has none."""
    path = path_of(where)
    found = _open.get(path)
    # To open and close it again would free the lock that this process may have.
    return found.values() if found is not None and not found.over else segment.read(path)


def remove(where: Places) -> None:
    """Remove a bus's counters, if it has any."""
    path = path_of(where)
    if os.path.lexists(path):
        segment.mark_over(path)
        os.unlink(path)
    found = _open.pop(path, None)
    if found is not None:
        found.close()


class Counter:
    """A signed number of 64 bits that all processes of the bus share. Made by ipcmules.counter().

    Each change is one step, whoever else changes it, and a killed process has done it or has not. It returns
    the new number. Beyond 64 bits a number wraps around. Arguments are whole numbers, else CounterError.
    """

    def __init__(self, name: str, find: Callable[[], Segment], initial: int = 0) -> None:
        """find: opens the segment of the bus that this process is on."""
        self.name = name
        self._find = find
        self._initial = _whole(initial)
        self._bind()

    def _bind(self) -> None:
        self._segment = self._find()
        self._place = self._segment.place(self.name, self._initial)

    def _change(self, function: Callable[[int], int]) -> int:
        if self._segment.over:
            self._bind()
        return self._segment.change(self._place, function)

    @property
    def value(self) -> int:
        """The number."""
        if self._segment.over:
            self._bind()
        return self._segment.value(self._place)

    def inc(self, by: int = 1) -> int:
        """Add to it."""
        by = _whole(by)
        return self._change(lambda there: wrapped(there + by))

    def dec(self, by: int = 1) -> int:
        """Take away from it."""
        by = _whole(by)
        return self._change(lambda there: wrapped(there - by))

    def mul(self, by: int) -> int:
        """Multiply it."""
        by = _whole(by)
        return self._change(lambda there: wrapped(there * by))

    def div(self, by: int) -> int:
        """Divide it, towards 0. Raises CounterError for 0."""
        by = _whole(by)
        if by == 0:
            raise CounterError(f"counter {self.name!r} cannot be divided by 0: give another number")
        return self._change(lambda there: wrapped(divided(there, by)))

    def set(self, number: int) -> int:
        """Replace it."""
        number = wrapped(_whole(number))
        return self._change(lambda _there: number)

    def set_max(self, number: int) -> int:
        """Replace it by a larger number; a smaller one changes nothing."""
        number = wrapped(_whole(number))
        return self._change(lambda there: max(there, number))

    def set_min(self, number: int) -> int:
        """Replace it by a smaller number; a larger one changes nothing."""
        number = wrapped(_whole(number))
        return self._change(lambda there: min(there, number))

    def __int__(self) -> int:
        return self.value

    def __repr__(self) -> str:
        return f"Counter({self.name!r}, {self.value})"


def divided(there: int, by: int) -> int:
    """As C does: towards 0."""
    return abs(there) // abs(by) * (1 if (there < 0) == (by < 0) else -1)


def _whole(number: object) -> int:
    if isinstance(number, bool) or not isinstance(number, int):
        raise CounterError(f"{number!r} is no number of a counter: give a whole one")
    return number
