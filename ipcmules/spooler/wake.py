"""The word to the spoolers of a directory that a task has come: its name, in the directory's queue.

The files are the truth, a queue only wakes. Where it is full, a cell says that there is more than it tells:
then the spoolers look at the directory before they sleep. Knows queues, the table and names; writes no task.
"""

from __future__ import annotations

import os

import posix_ipc

from ipcmules.bus.description import Description
from ipcmules.bus.places import Places
from ipcmules.bus.table import D_LOOK, D_NUMBERED, H_GENERATION, H_STATE, STOPPED, Table
from ipcmules.errors import AccessError, UnknownTarget
from ipcmules.kernel import unpatched
from ipcmules.messages import queues

#: A message that names no task: look at the directory.
LOOK = b""


class Spools:
    """The spool directories of one bus, as those see them who enqueue. Any thread may use it."""

    def __init__(self, where: Places, description: Description, table: Table) -> None:
        self._where = where
        self._description = description
        self._table = table
        self._cells = table.cells
        self._config = description.config
        self._numbers = {each.directory: at for at, each in enumerate(self._config.spooled, 1)}
        #: Of these the cell that says that its spoolers look at it before they sleep (D_LOOK).
        self._looks = {path: table.spool(at) + D_LOOK for path, at in self._numbers.items()}
        self._resolved: dict[str | bytes, str] = {
            each.name: each.directory for each in self._config.spoolers if each.name
        }
        self._queues: dict[int, posix_ipc.MessageQueue] = {}
        self._lock = unpatched.RLock()

    def resolve(self, spooler: str | bytes | None = None) -> str:
        """The directory that `spooler` names: one that the bus declares, by its name, or compared as a real
        path.

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
            found = self._resolved.get(os.fsdecode(spooler)) or os.path.realpath(os.fsdecode(spooler))
            if found not in declared:
                raise UnknownTarget(
                    f"spooler {os.fsdecode(spooler)!r} is none of this bus ({', '.join(declared)}): add "
                    "--spooler, or --spooler-external if somebody else runs its tasks"
                )
            self._resolved[spooler] = found
        return found

    def wake(self, directory: str, name: str) -> None:
        """Say that a task is there: its name relative to a directory that resolve() gave.

        Never waits and never raises: at worst the task is found at the next look at the directory.
        """
        # They will look at the directory before they sleep, and the file is there already: they see it then.
        # Saves two refused sends a task while there is a backlog.
        look = self._looks.get(directory)
        if look is not None and self._cells[look] and "/" not in name and self._cells[H_STATE] != STOPPED:
            return
        number = self._numbers.get(directory, 0)
        if not number or not self.announce(number, name):
            touch(directory, name)

    def wake_for_many(self, directory: str, is_numbered: bool) -> None:
        """Say that tasks are there, more than the queue has room for. is_numbered: they have a priority.

        Never waits and never raises, as wake().
        """
        number = self._numbers.get(directory, 0)
        if not number:
            return
        if is_numbered:
            self._cells[self._table.spool(number) + D_NUMBERED] = 1
        if not self.is_behind(directory):  # else they look before they sleep, and the files are there already
            self.look(number)

    def is_behind(self, directory: str) -> bool:
        """True while the spoolers of a directory have more to do than its queue tells."""
        look = self._looks.get(directory)
        return look is not None and self._cells[look] != 0

    def announce(self, number: int, name: str) -> bool:
        """Tell the spoolers of a directory, by its number, of a task. False if the bus is over."""
        if self._cells[H_STATE] == STOPPED:
            return False
        if "/" in name:
            self._cells[self._table.spool(number) + D_NUMBERED] = 1
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
        self._lock = unpatched.RLock()


def touch(directory: str, name: str) -> None:
    """Make a task seen by a master that watches its directory: opened for writing, and closed (inotify(7)).

    Nothing of the file changes: a spooler may have it already, and have put it off by its time.
    """
    try:
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        os.close(os.open(os.path.join(directory, name), flags))
    except OSError:
        pass  # it has been taken
