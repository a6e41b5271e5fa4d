"""What was seen of a bus in the last hour, for the plots: looked at while somebody looks at the page.

And for an hour after, more seldom, while something happens on the bus: where nothing does for a minute, and
nobody looks, nobody is woken up. What happened meanwhile is in the counters, so a rate over a time that was
not looked at is right on average.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import astuple, dataclass

from ipcmules.bus.places import Places
from ipcmules.errors import IpcMulesError
from ipcmules.snapshot import Snapshot, rates, take
from ipcmules.snapshot.ages import Ages
from ipcmules.snapshot.rates import Rates
from ipcmules.spooler.figures import BUCKETS, Figures

#: Seconds between two looks while somebody looks at the page, and while nobody does.
_OFTEN, _SELDOM = 2.5, 15.0
#: A look at large directories takes long: at most one part in so many of the time.
_SHARE = 10
#: Somebody looks who has asked within so many seconds; after so many nobody will, and on an idle bus after so
#: many.
_LOOKS, _AFTER, _IDLE = 10.0, 3600.0, 60.0
#: Seconds between two points of a plot, and how many are kept: an hour of them.
_STEP, _KEPT = 5.0, 720


@dataclass(frozen=True)
class Point:
    """A point of all plots: rates a second since the one before, None where there is none; what waits; how
    long tasks took, None where none has ended. oldest: for how long the first task that is due has waited."""

    time: float
    messages: float | None
    signals: float | None
    tasks: float | None
    failures: float | None
    queued: int
    waiting: int
    half: float | None
    most: float | None
    oldest: float


class Sampler:
    """Of one bus. All methods are called in the loop; what looks at the bus runs in the executor."""

    def __init__(self, where: Places, executor: Executor, looker: Callable[..., Snapshot] = take) -> None:
        self._where = where
        self._executor = executor
        self._take = looker
        self._turn = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._hurry = asyncio.Event()
        self._asked = 0.0  #: time.monotonic() at which somebody asked last
        self._active = 0.0  #: and at which something was seen to happen
        self._looked = 0.0
        self._took = 0.0  #: how long the last look took, seconds
        self._pointed: Snapshot | None = None
        self.seen: Snapshot | None = None
        self.rates = Rates()
        self._ages = Ages()
        self.problem = ""  #: why it cannot be looked at
        self.points: deque[Point] = deque(maxlen=_KEPT)

    async def look(self) -> None:
        """Somebody looks at the page: have what is here be no older than it may."""
        watched = self._is_watched()
        self._asked = time.monotonic()
        self._wanted.set()
        if not watched:
            self._hurry.set()  # out of the long pause
        if self._asked - self._looked > max(_OFTEN, self._took * _SHARE) * 2:
            await self._sample()

    async def run(self) -> None:
        """Sample for ever, while that is wanted."""
        while True:
            await self._wanted.wait()
            await self._sample()
            self._hurry.clear()
            if not self._is_of_use():
                self._wanted.clear()
                continue
            try:
                await asyncio.wait_for(self._hurry.wait(), self._pause())
            except asyncio.TimeoutError:
                pass

    def since(self, moment: float) -> list[tuple[float | int | None, ...]]:
        """The points after a moment, as tuples in the order of Point's fields."""
        return [astuple(each) for each in self.points if each.time > moment]

    def _pause(self) -> float:
        return max(_OFTEN if self._is_watched() else _SELDOM, self._took * _SHARE)

    def _is_watched(self) -> bool:
        return bool(self._asked) and time.monotonic() - self._asked < _LOOKS

    def _is_of_use(self) -> bool:
        now = time.monotonic()
        if self._is_watched():
            return True
        return now - self._asked < _AFTER and now - max(self._asked, self._active) < _IDLE

    async def _sample(self) -> None:
        async with self._turn:
            loop, began = asyncio.get_running_loop(), time.monotonic()
            try:
                found = await loop.run_in_executor(self._executor, self._take, self._where)
            except (IpcMulesError, OSError) as error:
                self.problem, self._looked = str(error), time.monotonic()
                return
            self.problem, self._looked = "", time.monotonic()
            self._took = self._looked - began
            if self.seen is not None and _happened(self.seen, found):
                self._active = self._looked
            found = self._ages.of(found)
            self.rates = rates.between(self.seen, found)
            self.seen = found
            self._add(found)

    def _add(self, found: Snapshot) -> None:
        before = self._pointed
        if before is not None and 0 <= found.time - before.time < _STEP - 0.1:
            return
        self._pointed = found
        while self.points and not found.time - _STEP * _KEPT < self.points[0].time <= found.time:
            self.points.popleft()
        self.points.append(_point(before, found))


def _happened(before: Snapshot, after: Snapshot) -> bool:
    """True if something was done between two looks, or waits to be."""
    if before.generation != after.generation or before.state != after.state:
        return True
    between = rates.between(before, after)
    done = between.messages + between.signals + between.tasks + between.failures
    tasks = sum(each.waiting + each.running for each in after.tasks.directories)
    return bool(done or tasks or _queued(after))


def _queued(seen: Snapshot) -> int:
    return sum(each.messages + each.waiting for each in seen.queues)


def _point(before: Snapshot | None, after: Snapshot) -> Point:
    between = rates.between(before, after)
    ended = _ended(before, after)
    count = sum(ended.buckets)
    places = after.tasks.directories

    def rate(value: float) -> float | None:
        return round(value, 3) if between.seconds else None

    return Point(
        time=round(after.time, 2),
        messages=rate(between.messages),
        signals=rate(between.signals),
        tasks=rate(between.tasks),
        failures=rate(between.failures),
        queued=_queued(after),
        waiting=sum(each.waiting for each in places),
        half=round(ended.quantile(0.5), 6) if count else None,
        most=round(ended.quantile(0.95), 6) if count else None,
        oldest=round(max((each.oldest or 0.0 for each in places), default=0.0), 3),
    )


def _ended(before: Snapshot | None, after: Snapshot) -> Figures:
    """The attempts that ended between two looks, of all functions together."""
    buckets = [0] * BUCKETS
    if before is not None and before.generation == after.generation:
        known = {each.function: each.buckets for each in before.tasks.functions}
        for each in after.tasks.functions:
            for number, count in enumerate(each.buckets):
                if count:
                    buckets[number] += max(count - known.get(each.function, (0,) * BUCKETS)[number], 0)
    longest = max((each.longest for each in after.tasks.functions), default=0.0)
    return Figures("", longest=longest, buckets=tuple(buckets))
