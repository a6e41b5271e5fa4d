"""Mischief of the kind 'exhaust': for a moment there are no descriptors, or no room in memory or on the disk.

File systems are filled where this program has them to itself (alone(): a mount namespace with small ones).
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from chaos import looking
from chaos.looking import identity
from ipcmules.kernel.processes import ProcessId

if TYPE_CHECKING:
    from chaos.director import Deeds, Director

#: Set where this program runs in a namespace of its own: the directory whose file systems are small.
_ALONE = "CHAOS_ALONE"
#: How long something is exhausted, seconds.
_SHORTEST, _LONGEST = 0.1, 1.2
#: No process of the bus has a limit so low by itself; and one so low that poll(2) takes no list any more
#: (EINVAL where it is longer than RLIMIT_NOFILE) is not what a program meets that has opened too much.
_FEW, _LEAST = 64, 8


def inside() -> Path | None:
    """The directory whose file systems are small, where this program runs in a namespace of its own."""
    return Path(os.environ[_ALONE]) if os.environ.get(_ALONE) else None


def alone(top: Path) -> bool:
    """Run this program again, with /dev/shm and top/state small and its own; True if this is that run.

    False where this user may not mount: nothing is filled then.
    """
    if inside() is not None:
        return True
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    small = "mount -t tmpfs -o size=32m,mode"
    script = f'{small}=1777 tmpfs /dev/shm && {small}=700 tmpfs "$1" && shift && exec "$@"'
    state = top / "state"
    state.mkdir(mode=0o700)
    before = [unshare, "-m", "sh", "-c", script, "sh", str(state)]
    if subprocess.run([*before, "true"], check=False, stderr=subprocess.DEVNULL).returncode:
        return False
    os.environ[_ALONE] = str(top)
    done = subprocess.run([*before, sys.executable, "-m", "chaos", *sys.argv[1:]], check=False)
    sys.exit(done.returncode)


class Exhausting:
    """Each deed is undone a moment later; several may overlap."""

    def __init__(self, director: Director, state: Path, fills: bool) -> None:
        self._director = director
        self._random = director.random
        self._fills = {"/dev/shm": Path("/dev/shm/filler"), "the state directory": state / "filler"}
        self._filling = fills
        #: What is to be undone, and when.
        self._undo: list[tuple[float, Callable[[], None]]] = []
        #: Limits as they were, by process; and what a process has that was forked by one without any.
        self._limited: dict[ProcessId, tuple[int, int]] = {}
        self._usual = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.last = 0.0

    def deeds(self) -> Deeds:
        """What to do, with weights."""
        fills: Deeds = [(3, lambda: self._fill("/dev/shm")), (3, lambda: self._fill("the state directory"))]
        return [(8, self._no_descriptors), *(fills if self._filling else [])]

    def tick(self) -> None:
        """Undo what is due; and nobody inherits what was meant for another."""
        now = time.monotonic()
        due = [undo for until, undo in self._undo if until <= now]
        self._undo = [each for each in self._undo if each[0] > now]
        for undo in due:
            undo()
        if now - self.last < 2 * _LONGEST:
            self._raise_inherited()

    def end(self) -> None:
        """Undo all of it."""
        for _, undo in self._undo:
            undo()
        self._undo.clear()
        self._raise_inherited()

    def _begin(self, what: str, undo: Callable[[], None]) -> None:
        now = time.monotonic()
        self.last = now
        self._director.deeds[f"exhausted: {what}"] += 1
        self._undo.append((now + self._random.uniform(_SHORTEST, _LONGEST), undo))

    def _everybody(self) -> list[tuple[str, ProcessId]]:
        director = self._director
        found = [("a mule's descriptors", process) for _, process in looking.mules()]
        found += [
            ("a sender's descriptors", identity(each.process))
            for each in director.running_senders()
            if each.process is not None and director.has_begun(each)
        ]
        if director.is_ready():
            found.append(("the master's descriptors", identity(director.master)))
            template = looking.template(director.master.pid)
            found += [("the template's descriptors", template)] if template is not None else []
        return found

    def _no_descriptors(self) -> None:
        candidates = [each for each in self._everybody() if each[1] not in self._limited]
        if not candidates:
            return
        what, process = self._random.choice(candidates)
        try:
            before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
            few = _next_descriptor(process.pid) + self._random.choice((0, 0, 1, 2, 4))
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (min(max(few, _LEAST), _FEW), before[1]))
        except (ProcessLookupError, FileNotFoundError, PermissionError):
            return  # it has ended
        self._limited[process] = before
        self._begin(what, lambda: self._give_back(process))

    def _give_back(self, process: ProcessId) -> None:
        before = self._limited.pop(process)
        if process.alive():
            _limit(process.pid, before)

    def _raise_inherited(self) -> None:
        for _, process in self._everybody():
            if process in self._limited:
                continue
            try:
                soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
            except ProcessLookupError:
                continue
            if soft <= _FEW:
                _limit(process.pid, (min(self._usual[0], hard), hard))

    def _fill(self, what: str) -> None:
        filler = self._fills[what]
        if any(each.exists() for each in self._fills.values()):
            return  # with both full a message would have nowhere to be: then one is refused, in words
        file = os.open(filler, os.O_CREAT | os.O_WRONLY, 0o600)
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    os.write(file, bytes(size))
            except OSError:
                pass
        os.close(file)
        self._begin(what, filler.unlink)


def _next_descriptor(pid: int) -> int:
    """The number that the next file gets which a process opens."""
    taken = set(map(int, os.listdir(f"/proc/{pid}/fd")))
    return next(number for number in range(len(taken) + 1) if number not in taken)


def _limit(pid: int, limit: tuple[int, int]) -> None:
    try:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
    except ProcessLookupError:
        pass
