"""Shared state under fire: a thousand processes that write caches, counters and an area are killed at random.

    cd tests && python -m chaos.shared [--kills 1000] [--writers 6] [--seed N]

Each value that is read must be whole, whoever is killed meanwhile. Each step that a call has answered must be
counted, and at most one more for each kill. At the end all of it works. Exit code 1 if that is not so, or if
it hangs.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import ipcmules
from ipcmules.areas.area import Area
from ipcmules.counters.segment import Segment
from ipcmules.options.areas import AreaSpec
from minibus import child, ended

#: When no writer has got anything done for so long it hangs, seconds.
_STALL = 60.0
KEYS = 400
SIZES = (20, 2000, 30000)


class Shared:
    """What is written, and how often each writer was told that it was."""

    def __init__(self, directory: str, writers: int) -> None:
        self.cache = ipcmules.cache(f"{directory}/values", items=300, size="4M")
        self.numbers = ipcmules.cache(f"{directory}/numbers", full="refuse")
        self.counters = Segment(f"{directory}/counters")
        self.place = self.counters.place("steps")
        self._file = os.open(f"{directory}/area", os.O_RDWR | os.O_CREAT)
        os.ftruncate(self._file, mmap.PAGESIZE)
        self.area = Area(0, AreaSpec(mmap.PAGESIZE), self._file, "", 0)
        self.answered = memoryview(mmap.mmap(-1, writers * 3 * 8)).cast("Q")

    def write(self, writer: int) -> None:
        """A writer's life."""
        dice, cells = random.Random(), self.answered
        calls: tuple[Callable[[], object], ...] = (
            lambda: self.numbers.incr("steps"),
            lambda: self.counters.change(self.place, lambda there: there + 1),
            lambda: self.area.add(8, 64, 1),
        )
        while True:
            data = dice.randbytes(dice.choice(SIZES))
            self.cache[f"k{dice.randrange(KEYS)}"] = zlib.crc32(data).to_bytes(4, "little") + data
            if dice.random() < 0.1:
                self.cache.delete(f"k{dice.randrange(KEYS)}")
            for number, call in enumerate(calls):
                call()
                cells[3 * writer + number] += 1

    def read(self) -> None:
        """A reader's life: ends with an error when it sees half a value."""
        dice = random.Random()
        while True:
            check(self.cache.get(f"k{dice.randrange(KEYS)}"))

    def counted(self) -> tuple[int, int, int]:
        """How often something was done, by what stands there."""
        there = self.numbers.get("steps", 0), self.counters.value(self.place), self.area.number_at(8, 64)
        return there[0], there[1], there[2]


def check(value: bytes | None) -> None:
    """Raise ValueError for half a value."""
    if value is not None and zlib.crc32(value[4:]).to_bytes(4, "little") != value[:4]:
        raise ValueError(f"a value of {len(value)} bytes is not whole")


def run(shared: Shared, kills: int, writers: int, dice: random.Random) -> list[str]:
    """Kill; what is wrong."""
    running = [child(lambda number=number: shared.write(number)) for number in range(writers)]  # type: ignore[misc]
    reader = child(shared.read)
    wrong: list[str] = []
    last, since = 0, time.monotonic()
    for _ in range(kills):
        time.sleep(dice.uniform(0, 0.006))
        number = dice.randrange(writers)
        os.kill(running[number], signal.SIGKILL)
        if ended(running[number]) != -signal.SIGKILL:
            wrong.append("a writer ended by itself")
            break
        running[number] = child(lambda number=number: shared.write(number))  # type: ignore[misc]
        done = sum(shared.answered)
        if done != last:
            last, since = done, time.monotonic()
        elif time.monotonic() - since > _STALL:
            wrong.append("nothing was written any more")
            break
    for each in (*running, reader):
        os.kill(each, signal.SIGKILL)
    for each in running:
        ended(each)
    if ended(reader) != -signal.SIGKILL:
        wrong.append("the reader saw half a value, or could not read")
    return wrong


def balance(shared: Shared, kills: int) -> list[str]:
    """What is wrong with the counts, and with the values that are there."""
    wrong = []
    answered = [sum(shared.answered[number::3]) for number in range(3)]
    for what, told, there in zip(("cache", "counter", "area"), answered, shared.counted(), strict=True):
        print(f"{what:8} {told:9} steps answered, {there - told:5} more in the window of a kill")
        if not told <= there <= told + kills:
            wrong.append(f"{what}: {told} steps were answered, {there} are there")
    for value in shared.cache.values():
        check(value)
    for number in range(1000):
        shared.cache[f"after{number}"] = b"x" * 2000
    if shared.cache["after999"] != b"x" * 2000 or len(shared.cache) > 300:
        wrong.append("the cache does not work any more")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos.shared", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--writers", type=int, default=6)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"shared state, {options.kills} writers killed, seed {seed}")
    directory = tempfile.mkdtemp(prefix="chaos-shared-", dir="/dev/shm")
    try:
        shared = Shared(directory, options.writers)
        wrong = run(shared, options.kills, options.writers, random.Random(seed))
        wrong += balance(shared, options.kills + options.writers)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print("\n".join(wrong) if wrong else "The ledger balances.")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
