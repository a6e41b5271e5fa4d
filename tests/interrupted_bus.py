"""Starts and stops a Bus, and is interrupted at one of its places after the other.

    python -c "import interrupted_bus; interrupted_bus.main()" STEP

After each interruption, and stop() where the with statement was interrupted at its very end, no process of
that bus is left and this process is on none, so the next one starts.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from pathlib import Path

import ipcmules
from interruptions import Interruption, every, interrupt
from ipcmules.member import membership

#: What is interrupted: not the standard library, which may leave what it was starting.
OURS = os.path.dirname(ipcmules.__file__) + os.sep


started: list[ipcmules.Bus] = []


def mule() -> None:
    """A program."""
    while True:
        ipcmules.mule_get_msg()


def call() -> None:
    """A life of a bus."""
    try:
        made = ipcmules.Bus(mules=[mule])
        started[:] = [made]
        with made as bus:
            bus.mule_msg(b"message", 1)
    except (
        ipcmules.ConfigError
    ) as error:  # what is raised while a function is pickled is said to be its fault
        raise error.__cause__ or error from None


def children() -> list[str]:
    """Pids of this process's children."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def main() -> None:
    """The command line above."""
    call()

    def made() -> None:
        call()

    places = 0
    for where, result in every(made, interrupt, step=int(sys.argv[1]), within=OURS):
        places += 1
        if not isinstance(result, Interruption):
            print(f"{where}: swallowed", file=sys.stderr)
        for each in started:
            each.stop()
        gc.collect()
        deadline = time.monotonic() + 30
        while children():
            if time.monotonic() > deadline:
                raise SystemExit(f"interrupted at {where}: a master is left")
            time.sleep(0.01)
        if membership.peek() is not None:
            raise SystemExit(f"interrupted at {where}: this process is still on the bus")
        if "IPCMULES_BUS" in os.environ:
            raise SystemExit(f"interrupted at {where}: the environment still names it")
    print(f"{places} places")
    call()
    print("done")
