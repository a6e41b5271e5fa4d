"""How many tasks of a key run at once, and how many are begun in a time, over all processes of a directory.

In limits/ a key has a file whose bytes are places: who runs a task has one of them locked, and the kernel
gives it back when its process ends, however that comes. Another file holds when the last tasks were begun, a
ring of so many times as may be begun in the time. Knows files and locks; runs nothing.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from typing import NamedTuple

from ipcmules.spooler import keyed
from ipcmules.spooler.manner import LONGEST_RATE

DIRECTORY = "limits"
_SLOTS, _RATE = "ipcmules_slots_", "ipcmules_rate_"
#: A place that another process has is asked for again after so many seconds: its end may be a kill.
AGAIN = 0.1
#: A ring that somebody has locked is free in a moment, seconds.
_SOON = 0.01
#: What stands at the beginning of a ring: how many were begun. Then the times, nanoseconds since 1970.
_COUNT = struct.Struct("<Q")
#: Files that nobody has used for so many seconds say nothing any more.
_OLD = 2.0 * LONGEST_RATE


#: The files whose places this process has: to close one again would give them back (fcntl(2)).
_in_use: set[str] = set()


class Place(NamedTuple):
    """A place that a task has: the file ("" where only a rate counts), and which byte of it."""

    path: str
    number: int


class _Held:
    """An open file, and the places in it that this process has."""

    def __init__(self, file: int) -> None:
        self.file = file
        self.places: set[int] = set()


class Limits:
    """Those of one spool directory, for the tasks of one process: locks are its, not a task's. One thread
    uses it."""

    def __init__(self, directory: str) -> None:
        self._directory = f"{directory}/{DIRECTORY}"
        self._held: dict[str, _Held] = {}

    def take(self, key: str, concurrency: int, rate: tuple[int, float] | None) -> Place | float:
        """Take a place for a task with a key, if it may run now, for free(). Else when to ask again (seconds
        since 1970), and nothing is taken. Raises OSError.
        """
        place = self._take_place(key, concurrency) if concurrency else Place("", 0)
        if place is None:
            return time.time() + AGAIN
        try:
            when = self._begin(key, rate) if rate is not None else 0.0
        except BaseException:
            self.free(place)
            raise
        if when:
            self.free(place)
        return when or place

    def is_free(self, key: str, concurrency: int) -> bool:
        """True if there is a place for another task; it is not taken. Raises OSError."""
        place = self._take_place(key, concurrency)
        if place is not None:
            self.free(place)
        return place is not None

    def free(self, place: Place) -> None:
        """The task that has a place does not run any more."""
        held = self._held.get(place.path)
        if held is None:
            return
        held.places.discard(place.number)
        if held.places:
            fcntl.lockf(held.file, fcntl.LOCK_UN, 1, place.number)
            return
        del self._held[place.path]
        _in_use.discard(place.path)
        os.close(held.file)

    def _take_place(self, key: str, concurrency: int) -> Place | None:
        path = f"{self._directory}/{_SLOTS}{keyed.digest(key)}"
        while True:
            found = self._held.get(path)
            held = found or _Held(keyed.open_file(path))
            try:
                number = next((each for each in range(concurrency) if _lock(held, each)), None)
                gone = found is None and keyed.is_gone(held.file)
            except BaseException:
                if found is None:
                    os.close(held.file)
                raise
            if number is not None and not gone:
                held.places.add(number)
                self._held[path] = held
                _in_use.add(path)
                return Place(path, number)
            if found is None:
                os.close(held.file)
            if not gone:
                return None

    def _begin(self, key: str, rate: tuple[int, float]) -> float:
        number, seconds = rate
        path = f"{self._directory}/{_RATE}{keyed.digest(key, f'{number}/{seconds:g}')}"
        file = keyed.open_file(path)
        try:
            if not keyed.try_lock(file) or keyed.is_gone(file):
                return time.time() + _SOON
            return _ring(file, number, int(seconds * 1e9))
        finally:
            os.close(file)


def _lock(held: _Held, number: int) -> bool:
    return number not in held.places and keyed.try_lock(held.file, number)


def _ring(file: int, number: int, period: int) -> float:
    """Begin one, if the one that was begun `number` before it is long enough ago."""
    begun, now = _number_at(file, 0), time.time_ns()
    place = _COUNT.size * (1 + begun % number)
    before = _number_at(file, place)
    if before > now:
        before = _set_back(file, number, now)
    if before and now < before + period:
        return (before + period) / 1e9
    # A kill in between leaves a time that counts, and no place for it: fewer are begun for a while.
    os.pwrite(file, _COUNT.pack(now), place)
    os.pwrite(file, _COUNT.pack(begun + 1), 0)
    return 0.0


def _set_back(file: int, number: int, now: int) -> int:
    """The clock was set back: what was begun later than now was begun now, for who asks again, too."""
    for place in range(_COUNT.size, _COUNT.size * (1 + number), _COUNT.size):
        if _number_at(file, place) > now:
            os.pwrite(file, _COUNT.pack(now), place)
    return now


def _number_at(file: int, place: int) -> int:
    data = os.pread(file, _COUNT.size, place)
    return int(_COUNT.unpack(data)[0]) if len(data) == _COUNT.size else 0


def sweep(directory: str) -> int:
    """Remove the files of keys that nobody has used for long; returns how many."""
    return keyed.sweep(f"{directory}/{DIRECTORY}", _OLD, skip=_in_use)


os.register_at_fork(after_in_child=_in_use.clear)
