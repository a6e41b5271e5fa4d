"""Mischief of the kind 'remove': what a cleaner removes of a living bus is there again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from chaos import looking, records
from ipcmules.bus.places import places

if TYPE_CHECKING:
    from chaos.director import Deeds, Director

#: How long it may take until what was removed is there again, seconds: the master may be stopped meanwhile.
_AGAIN = 15.0
#: One removal in so many is followed by somebody who starts the bus a second time.
_SECOND = 4


class Removing:
    """A removal is over when all is there again: a kill in between is another case."""

    def __init__(self, director: Director) -> None:
        self._director = director
        self._random = director.random
        self._where = places(looking.BUS)

    def deeds(self) -> Deeds:
        """What to do, with weights."""
        where = self._where
        return [
            (3, lambda: self._remove("the lock file", [where.lock])),
            (2, lambda: self._remove("bus.json", [where.description])),
            (3, lambda: self._remove("FIFOs", self._fifos())),
            (2, lambda: self._remove("the control socket", [where.control])),
            (2, lambda: self._remove("the directory", [where.runtime])),
            (1, lambda: self._remove("everything", [os.path.dirname(where.runtime)])),
        ]

    def _fifos(self) -> list[str]:
        everyone = [self._where.fifo(f"mule{number}") for number in range(1, records.MULES + 1)]
        return [*self._random.sample(everyone, self._random.randint(1, len(everyone))), self._where.notify]

    def _remove(self, what: str, paths: list[str]) -> None:
        director = self._director
        if not director.is_ready():
            return
        master = director.master.pid
        for each in paths:
            if os.path.isdir(each):
                shutil.rmtree(each, ignore_errors=True)
            else:
                Path(each).unlink(missing_ok=True)
        director.deeds[f"removed: {what}"] += 1
        if not self._random.randrange(_SECOND):
            self._start_second()
        where = self._where
        needed = [where.lock, where.description, where.control, where.notify, where.fifo("mule1")]
        director.until(lambda: all(map(os.path.exists, needed)), _AGAIN, f"{what}, removed,")
        if director.master.pid != master:
            director.problems.append(f"the master did not outlive the removal of {what}")

    def _start_second(self) -> None:
        """Nobody can: the bus has a master."""
        self._director.deeds["second starts, refused"] += 1
        command = [sys.executable, "-m", "ipcmules", "run", "--bus", looking.BUS, "--mules", "1"]
        second = subprocess.run(
            [*command, "--", "true"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if second.returncode != 1 or "is running already" not in second.stderr:
            self._director.problems.append(
                f"a second start ended with {second.returncode}: {second.stderr[-500:]}"
            )
