"""An app with a timer of 10 ms whose handler notes when it was called, or with 10,000 timers that wait."""

from __future__ import annotations

import os
import time

from benchmarks.programs.channel import DIRECTORY_VARIABLE
from ipcmules import add_ms_timer, add_timer, register_signal

WAITING = int(os.environ.get("IPCMULES_BENCH_TIMERS", "0"))

times: list[float] = []


def tick(_number: int) -> None:
    """The time of this call; all of them are written when there are enough."""
    times.append(time.time())


def tell(_number: int) -> None:
    """Write the times down, for the driver."""
    path = os.path.join(os.environ[DIRECTORY_VARIABLE], "times")
    with open(path + ".new", "w", encoding="ascii") as file:
        file.writelines(f"{each!r}\n" for each in times)
    os.replace(path + ".new", path)


register_signal(17, "mule1", tick)
register_signal(18, "mule1", tell)
for each in range(WAITING):
    add_timer(17, 3600 + each / 100)
if not WAITING:
    add_ms_timer(17, 10)
