"""The last hour of a bus: bounded, and nobody is woken up for it where nobody looks and nothing happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from ipcmules.bus.places import places
from ipcmules.errors import AccessError
from ipcmules.snapshot.values import Mule, Tasks
from ipcmules.snapshot.whole import Snapshot
from ipcmules.spooler.figures import BUCKETS, Figures, bucket
from ipcmules.web import sampling
from ipcmules.web.sampling import Sampler


class Bus:
    """Snapshots, five seconds after each other; `step` messages and tasks more in each."""

    def __init__(self) -> None:
        self.looks = self.done = 0
        self.step = 10
        self.error: Exception | None = None

    def take(self, *_given: object) -> Snapshot:
        self.looks += 1
        if self.error is not None:
            raise self.error
        self.done += self.step
        buckets = [0] * BUCKETS
        buckets[bucket(2_000_000)] = self.done
        mule = Mule(
            "mule", 1, 7, "waiting", "", "", None, 0.0, 0.0, 1.0, self.done, 0, 0, self.done, 0, 0, 0, "",
            None, 0, 0.0, None, "", (),
        )  # fmt: skip
        tasks = Tasks((), (Figures("f", done=self.done, longest=1.0, buckets=tuple(buckets)),))
        return Snapshot("b", "ready", 1000.0 + 5 * self.looks, "/", 1, mules=(mule,), tasks=tasks)


def _run(work: Callable[[Sampler, Bus], Coroutine[Any, Any, None]], background: bool = True) -> None:
    bus = Bus()

    async def both() -> None:
        with ThreadPoolExecutor(1) as executor:
            sampler = Sampler(places("b"), executor, bus.take)
            running = asyncio.ensure_future(sampler.run()) if background else None
            try:
                await work(sampler, bus)
            finally:
                if running is not None:
                    running.cancel()

    asyncio.run(both())


def test_points_of_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sampling._KEPT * sampling._STEP == 3600
    monkeypatch.setattr(sampling, "_KEPT", 40)

    async def work(sampler: Sampler, bus: Bus) -> None:
        for _ in range(50):
            await sampler._sample()
        points = sampler.since(0)
        assert len(points) == 40
        time, messages, _signals, _tasks, _failures, _queued, _waiting, half, most, _oldest = points[-1]
        assert (time, messages) == (1000.0 + 5 * 50, 2.0)
        assert half is not None and most is not None and 0.0015 < half <= most < 0.003
        assert [each[0] for each in sampler.since(time - 5)] == [time]  # type: ignore[operator]
        bus.step = 0
        await sampler._sample()
        assert sampler.since(0)[-1][7] is None, "no task has ended"

    _run(work, background=False)


def test_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(sampling, "time", SimpleNamespace(monotonic=lambda: clock.now))
    often, seldom, looks = sampling._OFTEN, sampling._SELDOM, sampling._LOOKS
    assert often < looks and seldom < sampling._IDLE
    for name in ("_OFTEN", "_SELDOM"):  # only the clock above says how long something is ago
        monkeypatch.setattr(sampling, name, 0.001)

    async def more(bus: Bus) -> None:
        before = bus.looks
        while bus.looks < before + 5:
            await asyncio.sleep(0.001)

    async def settled(sampler: Sampler) -> None:
        while sampler._wanted.is_set():
            await asyncio.sleep(0.001)

    async def work(sampler: Sampler, bus: Bus) -> None:
        assert bus.looks == 0, "before anybody asks, it sleeps"
        bus.step = 0
        await sampler.look()
        assert sampler.seen is not None
        await more(bus)
        clock.now += sampling._IDLE + 1
        await settled(sampler)
        # While something happens it goes on, until the last time that somebody looked is long ago.
        bus.step = 1
        await sampler.look()
        clock.now += looks + 1
        await more(bus)
        clock.now += sampling._IDLE - 1
        await more(bus)
        clock.now += sampling._AFTER
        await settled(sampler)

    _run(work)


def test_a_bus_that_cannot_be_looked_at() -> None:
    async def work(sampler: Sampler, bus: Bus) -> None:
        bus.error = AccessError("not yours")
        await sampler.look()
        assert (sampler.problem, sampler.seen) == ("not yours", None)
        bus.error = None
        await sampler._sample()
        assert sampler.problem == "" and sampler.seen is not None

    _run(work)
