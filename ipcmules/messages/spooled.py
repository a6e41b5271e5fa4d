"""The word to the spoolers of a directory that a task has come: its name, in the directory's queue.

The files are the truth, a queue only wakes. Where it is full, a cell says that there is more than it tells:
then the spoolers look at the directory before they sleep. Knows queues, the table and names; writes no task.
"""

from __future__ import annotations

import os
import threading

import posix_ipc

from ipcmules.description import Description
from ipcmules.errors import AccessError, UnknownTarget
from ipcmules.messages import queues
from ipcmules.places import Places
from ipcmules.table import D_LOOK, D_MISSED, H_GENERATION, H_STATE, R_STATE, STOPPED, WAITING, Table

#: A message that names no task: look at the directory.
LOOK = b""
#: Before a name: its file is about to be written.
SOON = b"\0"


class Spools:
    """The spool directories of one bus, as those see them who enqueue. Any thread may use it."""

    def __init__(self, where: Places, description: Description, table: Table) -> None:
        self._where = where
        self._description = description
        self._table = table
        self._cells = table.cells
        self._config = description.config
        self._numbers = {each.directory: at for at, each in enumerate(self._config.spooled, 1)}
        self._resolved: dict[str | bytes, str] = {}
        self._queues: dict[int, posix_ipc.MessageQueue] = {}
        self._lock = threading.Lock()
        self._missed = {number: table.spool(number) + D_MISSED for number in self._numbers.values()}
        each = range(1, self._config.spooler_processes + 1)
        #: The cells with the states of a directory's spoolers.
        self._states = {
            number: [
                table.spooler((number - 1) * self._config.spooler_processes + one) + R_STATE for one in each
            ]
            for number in self._numbers.values()
        }

    def resolve(self, spooler: str | bytes | None = None) -> str:
        """The directory that `spooler` names: one that the bus declares, compared as a real path.

        None, or nothing: the first that the bus has spoolers for, else the first it declares. Raises
        UnknownTarget if the bus has no such directory. From uWSGI, which compares the texts.
        """
        declared = [each.directory for each in self._config.spoolers]
        if not declared:
            raise UnknownTarget(
                f"bus {self._where.bus!r} has no spooler: start it with --spooler DIR, or name a directory "
                "in a process that is on no bus"
            )
        if not spooler:
            spooled = self._config.spooled
            return spooled[0].directory if spooled else declared[0]
        found = self._resolved.get(spooler)
        if found is None:
            found = os.path.realpath(os.fsdecode(spooler))
            if found not in declared:
                raise UnknownTarget(
                    f"spooler {os.fsdecode(spooler)!r} is none of this bus ({', '.join(declared)}): add "
                    "--spooler, or --spooler-external if somebody else runs its tasks"
                )
            self._resolved[spooler] = found
        return found

    def soon(self, directory: str, name: str) -> int:
        """Say that a task is about to be written, if a spooler sleeps: it wakes up meanwhile, which takes as
        long as the writing. Returns what wake() needs to know; 0 if nobody was told.
        """
        number = self._numbers.get(directory, 0)
        cells = self._cells
        for each in self._states.get(number, ()):
            if cells[each] == WAITING:
                break
        else:
            return 0
        before = int(cells[self._missed[number]]) + 1
        try:
            (self._queues.get(number) or self._open(number)).send(
                SOON + name.encode("utf-8", "surrogateescape")
            )
        except (OSError, posix_ipc.Error, ValueError):
            return 0
        return before

    def wake(self, directory: str, name: str, told: int = 0) -> None:
        """Say that a task is there: its name relative to a directory that resolve() gave.

        told: what soon() returned. Whoever took the name too early, to find no file, has written that down
        and looked once more then: either that look finds the file, or this one finds the word.
        Never waits and never raises: at worst the task is found at the next look at the directory.
        """
        number = self._numbers.get(directory, 0)
        if told and self._cells[self._missed[number]] + 1 == told and self._cells[H_STATE] != STOPPED:
            return
        if not number or not self.announce(number, name):
            touch(directory, name)

    def announce(self, number: int, name: str) -> bool:
        """Tell the spoolers of a directory, by its number, of a task. False if the bus is over."""
        if self._cells[H_STATE] == STOPPED:
            return False
        # They will look at the directory before they sleep, and the file is there already: they see it then.
        # Saves two refused sends a task while there is a backlog.
        if self._cells[self._table.spool(number) + D_LOOK]:
            return True
        try:
            queue = self._queues.get(number) or self._open(number)
            try:
                queue.send(name.encode("utf-8", "surrogateescape"))
            except (posix_ipc.BusyError, ValueError):  # full; or the name is longer than its messages
                return self.look(number)
        except (OSError, posix_ipc.Error):
            return False
        return True

    def look(self, number: int) -> bool:
        """Have a directory looked at. False if nobody hears it: the bus is over."""
        self._cells[self._table.spool(number) + D_LOOK] = 1
        # The spoolers may have emptied the queue since it was full, and sleep: once more, after the cell.
        try:
            (self._queues.get(number) or self._open(number)).send(LOOK)
        except posix_ipc.BusyError:
            pass
        except (OSError, posix_ipc.Error):
            return False
        return True

    def nudge(self, number: int) -> None:
        """Wake one spooler of a directory to look at it, if one sleeps."""
        try:
            (self._queues.get(number) or self._open(number)).send(LOOK)
        except (OSError, posix_ipc.Error):
            pass  # full: nobody sleeps

    def descriptor(self, number: int) -> int:
        """The descriptor of a directory's queue. Raises as queues.open_queue()."""
        return (self._queues.get(number) or self._open(number)).mqd

    def _open(self, number: int) -> posix_ipc.MessageQueue:
        with self._lock:
            spec = self._description.queue(f"spool.{number}")
            if spec is None or self._cells[H_GENERATION] != self._description.generation:
                raise AccessError(f"bus {self._where.bus!r} has no queue for its spool directory {number}")
            if number not in self._queues:
                self._queues[number] = queues.open_queue(spec)
            return self._queues[number]

    def close(self) -> None:
        """Close the descriptors."""
        with self._lock:
            for each in self._queues.values():
                each.close()
            self._queues.clear()

    def after_fork(self) -> None:
        """In a forked child: the descriptors are good here too, a lock that a thread held is not."""
        self._lock = threading.Lock()


def touch(directory: str, name: str) -> None:
    """Make a task seen by a master that watches its directory: opened for writing, and closed (inotify(7)).

    Nothing of the file changes: a spooler may have it already, and have put it off by its time.
    """
    try:
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        os.close(os.open(os.path.join(directory, name), flags))
    except OSError:
        pass  # it has been taken
