"""The guard: a small process that ends the groups of the command and the daemons if the master dies.

The kernel tells a child of its parent's death (PR_SET_PDEATHSIG), but not the child's own children. The
guard holds one end of a pipe whose other end only the master has. When that is closed, however the master
died, every group that is still noted gets SIGTERM, and SIGKILL after the mercy. It is a fork of the master
without an exec, which costs neither time nor memory, and closes all it inherits. Knows nothing of the bus.
"""

from __future__ import annotations

import os
import select
import signal
import time
from typing import NoReturn

from ipcmules.bus import log
from ipcmules.kernel import kill, processes
from ipcmules.kernel.processes import ProcessId

#: How often the groups are looked at once the master is dead, seconds.
_LOOK = 0.05


class Guard:
    """The master's side. The master reaps its children, so it says when the guard has died: ended()."""

    def __init__(self, title: str, mercy: float) -> None:
        self._title = title
        self._mercy = mercy
        self._groups: set[ProcessId] = set()
        self._pipe = -1
        self.pid = 0

    def add(self, group: ProcessId) -> None:
        """Look after the process group of this leader; starts the guard if it does not run."""
        self._groups.add(group)
        if self.pid:
            self._write(b"+%d %d\n" % group)
        else:
            self._start()

    def discard(self, group: ProcessId) -> None:
        """Nobody is left in the group: its number may soon be another's."""
        self._groups.discard(group)
        self._write(b"-%d %d\n" % group)

    def ended(self, pid: int) -> bool:
        """True if this pid was the guard's, which is started again where there is something to guard."""
        ours = self.pid > 0 and pid == self.pid
        if ours:
            self._close()
        if self._groups and not self.pid:  # or it could not be started before
            self._start()
        return ours

    def finish(self) -> None:
        """End it: it has nothing to look after any more. Nobody needs to wait for that."""
        for group in list(self._groups):
            self.discard(group)
        if self.pid:
            kill.send_to_child(self.pid, signal.SIGKILL)
        self._close()

    def _start(self) -> None:
        """Have it run; where it is refused a process or descriptor, the next change tries again."""
        try:
            reader, self._pipe = os.pipe2(os.O_CLOEXEC)
        except OSError as error:
            self._say_refused(error)
            return
        try:
            pid = os.fork()
        except OSError as error:
            os.close(reader)
            self._close()
            self._say_refused(error)
            return
        if pid == 0:
            _become(reader, set(self._groups), self._title, self._mercy)
        os.close(reader)
        self.pid = pid

    def _say_refused(self, error: OSError) -> None:
        log.event(
            "error",
            f"the guard cannot be started ({error.strerror}): if this master is killed, "
            f"process groups {', '.join(map(str, sorted(self._groups)))} live on",
        )

    def _write(self, line: bytes) -> None:
        if self._pipe < 0:
            return
        try:
            os.write(self._pipe, line)
        except BrokenPipeError:
            pass  # it has died, and is started again with all groups when that is seen

    def _close(self) -> None:
        self.pid = 0
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1


def _become(reader: int, groups: set[ProcessId], title: str, mercy: float) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        # Not in the terminal's group and deaf to polite signals: it must outlive the master.
        os.setpgid(0, 0)
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(each, signal.SIG_IGN)
        os.dup2(reader, 3)
        os.closerange(4, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") < 1 << 20 else 1 << 20)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        os.close(null)
        processes.set_title(title)
        _watch(3, groups)
        _end(groups, mercy)
    finally:
        os._exit(0)


def _watch(reader: int, groups: set[ProcessId]) -> None:
    """Follow what the master says until it says nothing more."""
    text = b""
    while True:
        data = os.read(reader, 4096)
        if not data:
            return
        *lines, text = (text + data).split(b"\n")
        for line in lines:
            leader = ProcessId(*map(int, line[1:].split()))
            (groups.add if line[:1] == b"+" else groups.discard)(leader)


def _end(groups: set[ProcessId], mercy: float) -> None:
    left = {group for group in groups if kill.send_to_group(group, signal.SIGTERM)}
    deadline = time.monotonic() + mercy
    while left and time.monotonic() < deadline:
        select.select([], [], [], _LOOK)
        left = {group for group in left if kill.group_exists(group.pid)}
    for group in left:
        kill.send_to_group(group, signal.SIGKILL)
