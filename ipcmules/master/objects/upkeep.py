"""Keeps a bus's lock file and runtime directory where they are, for as long as the bus lives.

Cleaners of /tmp remove what has not been touched for days, and people remove what they take for old. So all
files are touched every hour, and inotify tells of what is removed nevertheless: the lock file is made again
at once, already held; then the directory, the description, the control socket. FIFOs, and what processes have
open in there, get their names back as links to the open descriptors (proc(5)). What the system refuses, a
descriptor or a watch, is asked for again, soon at first; where the kernel gives no inotify there is a look
every two minutes.

Nobody can take the bus meanwhile: whoever finds the lock free finds this master in its table (liveness.py).
If a master has done so all the same, this one has to go: lost() says that once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import inotify_simple
from inotify_simple import flags

from ipcmules.bus import description as descriptions
from ipcmules.bus import liveness, log, table
from ipcmules.bus.layout import WORKER_SLOTS
from ipcmules.bus.places import private_directory
from ipcmules.errors import BusRunning
from ipcmules.kernel import exhaustion, files, inotify
from ipcmules.master.loop.selector import Loop, Timer
from ipcmules.master.objects.objects import Objects
from ipcmules.signals import fifos

#: How often files are touched, seconds.
_FRESHEN = 3600.0
#: What was refused is tried again after so many seconds, twice as many each time, and at most so many.
_AGAIN, _LOOK = 1.0, 120.0
#: What removes one file often removes the next: the directory is made good so many seconds later.
_SETTLE = 0.05
#: A lock file that another master holds is looked at so often, and so many times, before that counts.
_DOUBT, _DOUBTS = 0.25, 8

_REMOVED = flags.DELETE | flags.MOVED_FROM | flags.DELETE_SELF | flags.MOVE_SELF | flags.UNMOUNT
_CONTROL = "control.sock"
#: Files that processes of the bus have open, by what they are called.
_OPEN = re.compile(r"(?:signal|rpc|stack)\.(?:mule|spooler|worker)\d+\Z")


class Upkeep:
    """That of one bus, from when its objects exist until it ends."""

    def __init__(
        self,
        loop: Loop,
        objects: Objects,
        lock: int,
        renewed: Callable[[int], None],
        repaired: Callable[[], None],
        lost: Callable[[str], None],
    ) -> None:
        """lock: the descriptor that holds the bus; renewed(descriptor) tells of another one that does.

        repaired() is called when something in the directory was made again: wake-ups may have been missed,
        and the control socket may not be there. lost(text) is called once where another master holds the bus.
        """
        self._loop = loop
        self._objects = objects
        self._lock = lock
        self._renewed = renewed
        self._repaired = repaired
        self._lost = lost
        self._where = objects.where
        self._doubts = 0
        self._over = False
        #: What the listener has said of itself: it does so once.
        self._listener = b""
        #: Files of processes that were removed, perhaps by themselves, to be made anew.
        self._missing: set[str] = set()
        self._inotify: inotify_simple.INotify | None = None
        #: What was made again and not told of yet.
        self._made: list[str] = []
        #: Of the next look, and of the next try of what was refused.
        self._settling: Timer | None = None
        self._trying: Timer | None = None
        self._pause = _AGAIN
        #: What was said of a refusal that goes on.
        self._said: set[str] = set()

    def begin(self) -> None:
        """Watch from now on."""
        self._watch()
        self._freshen()

    def close(self) -> None:
        """The bus ends: what is removed from now on is removed by itself."""
        self._over = True
        for each in (self._settling, self._trying):
            if each is not None:
                each.cancel()
        self._stop_watching()

    # Watching

    def _stop_watching(self) -> None:
        if self._inotify is not None:
            self._loop.forget(self._inotify.fileno())
            self._inotify.close()
            self._inotify = None

    def _watch(self) -> None:
        """Watch both directories: called again when one of them is another one."""
        try:
            if self._inotify is None:
                self._inotify = inotify.open_inotify()
                self._loop.watch(self._inotify.fileno(), self._read)
            for each in (os.path.dirname(self._where.runtime), self._where.runtime):
                self._inotify.add_watch(each, _REMOVED | flags.MOVED_TO | flags.ONLYDIR)
        except OSError as error:
            self._stop_watching()
            why = inotify.reason(error)
            text = f"the bus's directory cannot be watched ({why}): looked at now and then instead"
            self._try_again("warning", text)

    def _try_again(self, level: str, text: str) -> None:
        """Something was refused, which is said once."""
        if text not in self._said:
            self._said.add(text)
            log.event(level, text)
        if self._trying is None and not self._over:
            self._trying = self._loop.later(self._pause, self._tried)
            self._pause = min(2 * self._pause, _LOOK)

    def _tried(self) -> None:
        self._trying = None
        self._watch()
        self.look()
        if self._trying is None:
            self._pause = _AGAIN
            self._said.clear()

    def _read(self) -> None:
        assert self._inotify is not None
        try:
            events = inotify_simple.parse_events(os.read(self._inotify.fileno(), 65536))
        except BlockingIOError:
            return
        names = {event.name for event in events if not event.mask & flags.IGNORED}
        if os.path.basename(self._where.listener) in names:
            self._listener = _content(self._where.listener) or self._listener
        others = (".new", "failed.")
        if all(name.startswith(others[1]) or name.endswith(others[0]) for name in names):
            return
        self._missing |= {name for name in names if _OPEN.match(name)}
        self._hold()
        self._look_soon()

    def _look_soon(self) -> None:
        if self._settling is None and not self._over:
            self._settling = self._loop.later(_SETTLE, self._settled)

    def _settled(self) -> None:
        self._settling = None
        self.look()

    def _freshen(self) -> None:
        """Everything is as young as the bus's last hour."""
        root, runtime = os.path.dirname(self._where.runtime), self._where.runtime
        try:
            paths = [root, self._where.lock, runtime, *(entry.path for entry in os.scandir(runtime))]
        except OSError:
            paths = []  # gone: look() says so
        for path in paths:
            try:
                os.utime(path, follow_symlinks=False)
            except OSError:
                pass  # removed meanwhile
        self.look()
        if not self._over:
            self._loop.later(_FRESHEN, self._freshen_again)

    def _freshen_again(self) -> None:
        if not self._over:
            self._freshen()

    # Making good

    def look(self) -> None:
        """See that everything is there, and make good what is not."""
        if self._over:
            return
        if not self._hold():
            return
        try:
            self._make_good()
        except OSError as error:
            self._try_again("error", f"{self._where.runtime} cannot be made again: {error}")
            return
        made, self._made = self._made, []
        if made:
            names = ", ".join(made[:5]) + (" ..." if len(made) > 5 else "")
            log.event(
                "warning",
                f"somebody removed {names} in {self._where.runtime} while the bus runs: made again. Does "
                "something clean up there? Set IPCMULES_RUNTIME_DIR to a directory that is left alone",
            )
            self._repaired()
            if made != [_CONTROL]:
                self._watch()
                self._look_soon()  # what was removed again before it was watched

    def _hold(self) -> bool:
        """The lock file first: without it others believe that the bus is dead. False if the bus is lost, or
        that is not clear yet."""
        if self._over:
            return False
        before = self._lock
        try:
            self._lock = liveness.renew(self._where, self._lock)
        except BusRunning:
            self._doubt()
            return False
        except OSError as error:
            self._try_again("error", f"the lock file {self._where.lock} cannot be made again: {error}")
            return True
        self._doubts = 0
        if self._lock != before:
            self._renewed(self._lock)
            log.event("warning", f"somebody removed {self._where.lock} while the bus runs: made again")
        return True

    def _doubt(self) -> None:
        """Somebody holds another lock file: a start that will find us in the table, or another master."""
        self._doubts += 1
        if self._doubts < _DOUBTS:
            self._loop.later(_DOUBT, self.look)
            return
        self._over = True
        pid = liveness.holder(self._where)
        self._lost(
            f"bus {self._where.bus!r} has another master by now (pid {pid}): somebody removed the lock file "
            f"{self._where.lock}, and the bus was started a second time. This one ends and leaves it to that"
        )

    def _make_good(self) -> None:
        """Make what is missing. Raises OSError; what was made until then is in _made all the same."""
        where, objects, made = self._where, self._objects, self._made
        if not os.path.lexists(where.runtime):
            private_directory(where.runtime)
            made.append("the directory")
        if not os.path.lexists(where.description):
            descriptions.write(where, objects.description)
            made.append("bus.json")
        if self._listener and not os.path.lexists(where.listener):
            files.replace(where.listener, self._listener)
            made.append(os.path.basename(where.listener))
        own = [*(name for name, _ in fifos.endpoint_names(objects.description.config)), "notify"]
        for name, descriptor in zip(own, objects.fifos, strict=True):
            path = where.notify if name == "notify" else where.fifo(name)
            if not os.path.lexists(path):
                fifos.link(path, os.getpid(), descriptor)
                made.append(os.path.basename(path))
        if made or any(not os.path.lexists(os.path.join(where.runtime, each)) for each in self._missing):
            for pid in self._processes():
                self._link_open_files(pid)
        self._missing.clear()
        if not os.path.lexists(where.control):
            made.append(_CONTROL)  # whose owner listens again: repaired()

    def _processes(self) -> list[int]:
        """Mules, spoolers and workers that run."""
        shared = self._objects.table
        layout, cells = shared.layout, shared.cells
        records = [shared.mule(number) for number in range(1, layout.mules + 1)]
        records += [shared.spooler(number) for number in range(1, layout.spoolers + 1)]
        records += [shared.worker(number) for number in range(1, WORKER_SLOTS + 1)]
        return [pid for record in records if (pid := cells[record + table.R_PID])]

    def _link_open_files(self, pid: int) -> None:
        """What a process has open of the files that were removed."""
        try:
            descriptors = os.listdir(f"/proc/{pid}/fd")
        except OSError as error:
            if exhaustion.refused(error):
                raise  # it may live
            return  # it has ended
        for descriptor in descriptors:
            try:
                target = os.readlink(f"/proc/{pid}/fd/{descriptor}")
            except OSError:
                continue
            name = os.path.basename(target.removesuffix(" (deleted)"))
            path = os.path.join(self._where.runtime, name)
            if _OPEN.match(name) and not os.path.lexists(path):
                fifos.link(path, pid, int(descriptor))
                self._made.append(name)


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
