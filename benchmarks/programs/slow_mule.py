"""A mule that takes 10 ms for each message, and says when it handled signal 20."""

from __future__ import annotations

import time

from benchmarks.programs.report import report
from ipcmules import mule_get_msg, register_signal

WAITING = 115


def handler(number: int) -> None:
    report("slow", time.monotonic())


if __name__ == "__main__":
    register_signal(20, "mule2", handler)
    handled = 0
    while True:
        mule_get_msg()
        time.sleep(0.010)
        handled += 1
        if handled == WAITING:
            report("slow", handled)
            handled = 0
