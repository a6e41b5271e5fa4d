"""The files of one spooler's tasks of the cluster on this host: given to spoolers, and what became of them.

A task that is here is an ordinary task in an ordinary spool directory; beside it, in `taken`, a file says
which delivery it is. That file is there first and goes last, so that whoever is killed leaves no task that
nobody answers for. Knows files; runs nothing.
"""

from __future__ import annotations

import errno
import json
import os
import time
from dataclasses import dataclass, field

from ipcmules.caches.control import boot
from ipcmules.cluster.tasks import HAND, LEFT, TAKEN
from ipcmules.kernel import files
from ipcmules.spooler import attempts, claim, dead_tasks, names, outcomes
from ipcmules.spooler.attempts import Record
from ipcmules.spooler.claim import Held, Refusal

#: How a task here is: somebody runs it; it waits for that; it is to run again, and not at once; it is over;
#: another carrier answers for it, or has handed it back.
RUNS, WAITS, AGAIN, GONE, ELSEWHERE = "runs", "waits", "again", "gone", "elsewhere"
#: Behind the name of a file in `taken` while its task is not there yet.
_ARRIVING = ".arriving"


@dataclass
class Here:
    """A task that is here. stored: its failures as the cluster knows them; given: as it was given to
    spoolers."""

    name: str
    token: str
    place: int
    due: float = 0.0
    until: str = ""
    stored: Record = attempts.NONE
    given: Record = attempts.NONE
    #: In which start of the machine it came.
    boot: str = field(default_factory=lambda: boot().hex())
    arriving: bool = field(default=False, compare=False)
    #: It is a chain or group; whose part it is, '' for none.
    is_whole: bool = False
    whole: str = ""
    #: A part of it was told to be over while it was here: it is to be run again at once.
    woken: bool = field(default=False, compare=False)


class HandDir:
    """home: the directory of a spooler of the cluster."""

    def __init__(self, home: str) -> None:
        self.directory = f"{home}/{HAND}"
        self._taken = f"{home}/{TAKEN}"
        self._left = f"{home}/{LEFT}"

    def path(self, name: str) -> str:
        """Of a task's file."""
        return f"{self.directory}/{name}"

    # Given

    def put(self, here: Here, data: bytes) -> None:
        """Give a task to the spoolers. Raises OSError; then it is not there."""
        if os.path.lexists(self.path(here.name)):
            self._make_room(here.name)
        path, about = self.path(here.name), f"{self._taken}/{here.name}"
        temporary = f"{self.directory}/{names.new_name(names.WRITING)}"
        files.replace(about + _ARRIVING, _packed(here))
        try:
            if here.given != attempts.NONE:
                attempts.save(path, here.given)
            files.replace(temporary, data)
            if here.given != attempts.NONE:
                os.chmod(temporary, attempts.MARKED)
            os.rename(temporary, path)
        except OSError:
            files.remove(temporary)
            attempts.remove(path)
            files.remove(about + _ARRIVING)
            raise
        os.rename(about + _ARRIVING, about)

    def _make_room(self, name: str) -> None:
        """A carrier was killed before it could remove the task, which went back: it is here once more."""
        held = self.lock(name)
        if held is None:
            raise BlockingIOError(errno.EBUSY, "a spooler has it still")
        self.remove(held)

    def note(self, here: Here) -> None:
        """It has another delivery now."""
        files.replace(f"{self._taken}/{here.name}", _packed(here))

    def forget(self, name: str) -> None:
        """Nothing is to be done about a task any more. What ended with a bus goes after that: see known()."""
        files.remove(f"{self._taken}/{name}")
        files.remove(f"{self._left}/{name}")

    def known(self) -> list[Here]:
        """What a predecessor had."""
        found = []
        for each in os.listdir(self._left):
            if not os.path.lexists(f"{self._taken}/{each}"):
                files.remove(f"{self._left}/{each}")
        for each in sorted(os.listdir(self._taken)):
            if each.endswith(".new"):
                files.remove(f"{self._taken}/{each}")
                continue
            try:
                with open(f"{self._taken}/{each}", encoding="utf-8") as file:
                    here = _unpacked(each.removesuffix(_ARRIVING), file.read())
            except (OSError, ValueError, TypeError, KeyError):
                files.remove(f"{self._taken}/{each}")
                continue
            here.arriving = each.endswith(_ARRIVING)
            found.append(here)
        return found

    def came(self, here: Here) -> None:
        """What was arriving is there."""
        if here.arriving:
            os.rename(f"{self._taken}/{here.name}{_ARRIVING}", f"{self._taken}/{here.name}")
            here.arriving = False

    def left(self, here: Here) -> bool:
        """True if no spooler here was given it, or nobody can say what became of it.

        A bus or the machine ended with it, or its carrier had just begun.
        """
        name = here.name
        if here.arriving and not os.path.lexists(self.path(name)):
            files.remove(f"{self._taken}/{name}{_ARRIVING}")
            return True
        # After a power failure what is not there need not have been done.
        return os.path.lexists(f"{self._left}/{name}") or here.boot != boot().hex()

    # What became of it

    def how(self, here: Here) -> str:
        """How it is now."""
        path = self.path(here.name)
        status = claim.status_of(path)
        try:
            if status is None:
                return self._is_gone(here.name)
            if claim.running(path):
                return RUNS
        except FileNotFoundError:
            return self._is_gone(here.name)
        except OSError:
            return RUNS
        now = time.time()
        if claim.due(path, status, now) or (claim.tried(status) and self._failures(here) != here.given):
            return AGAIN
        return WAITS

    def _is_gone(self, name: str) -> str:
        """What it means that a task is not there. In this order: forget() has it the other way round."""
        if os.path.lexists(f"{self._left}/{name}") or not os.path.lexists(f"{self._taken}/{name}"):
            return ELSEWHERE
        return GONE

    def _failures(self, here: Here) -> Record:
        return attempts.load(self.path(here.name))

    def failures(self, here: Here) -> Record:
        """Its failures by now."""
        found = self._failures(here)
        return found if found != attempts.NONE else here.given

    def lock(self, name: str) -> Held | None:
        """Keep spoolers from it; None where one has it."""
        path = self.path(name)
        held = claim.take(path)
        return None if isinstance(held, Refusal) else held

    @staticmethod
    def read(held: Held) -> bytes:
        """A locked task."""
        parts, at = [], 0
        while part := os.pread(held.file, 1 << 20, at):
            parts.append(part)
            at += len(part)
        return b"".join(parts)

    @staticmethod
    def remove(held: Held) -> None:
        """Remove a locked task, which goes elsewhere, and give up the lock."""
        try:
            os.unlink(held.path)
            attempts.remove(held.path)
            directory, name = os.path.split(held.path)
            outcomes.forget(directory, names.progress_of(name))
        finally:
            claim.release(held)

    def grave(self, name: str) -> tuple[bytes, Record] | None:
        """A task of that name that was given up here."""
        try:
            with open(f"{self.directory}/{names.DEAD}/{name}", "rb") as file:
                data = file.read()
        except OSError:
            return None
        return data, dead_tasks.read(self.directory, name).record

    def drop_grave(self, name: str) -> None:
        """The cluster has it."""
        try:
            dead_tasks.drop(self.directory, name)
        except OSError:
            pass  # somebody else did

    def drop_end(self, name: str) -> None:
        """The cluster has what was said of a task's end."""
        outcomes.forget(self.directory, names.result_of(name))

    def end(self, name: str) -> tuple[bytes, float] | None:
        """What is said of a task's end, and for how many seconds more."""
        found = names.result_of(name)
        try:
            data = outcomes.take(self.directory, found)
            until = os.stat(f"{self.directory}/{found}").st_mtime
        except OSError:
            return None
        return None if data is None else (data, until - time.time())


def _packed(here: Here) -> bytes:
    about = {
        "token": here.token,
        "place": here.place,
        "due": here.due,
        "until": here.until,
        "boot": here.boot,
        "flow": [here.is_whole, here.whole],
    }
    records = {"stored": here.stored._asdict(), "given": here.given._asdict()}
    return json.dumps(about | records).encode()


def _unpacked(name: str, text: str) -> Here:
    data = json.loads(text)
    is_whole, whole = data.get("flow", (False, ""))
    return Here(
        name,
        str(data["token"]),
        int(data["place"]),
        float(data["due"]),
        str(data["until"]),
        Record(**data["stored"]),
        Record(**data["given"]),
        str(data["boot"]),
        is_whole=bool(is_whole),
        whole=str(whole),
    )
