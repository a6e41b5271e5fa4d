"""Which process is which: a pid together with its start time, which no later process shares.

Knows /proc and nothing of the bus. What cannot be looked at is never taken for dead. Platform-specific: this
is the one place that reads /proc/PID/stat.
"""

from __future__ import annotations

import errno
import io
import os
from typing import NamedTuple

from ipcmules.errors import AccessError, LimitError

#: What says nothing of a process. Not by way of exhaustion.py: without a descriptor nothing can be imported.
_REFUSED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


_PAGE, _TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")


class ProcessId(NamedTuple):
    """One process for ever: its pid and its start time in clock ticks since boot (proc_pid_stat(5))."""

    pid: int
    start: int

    def alive(self) -> bool:
        """True while this very process runs (a zombie does not count).

        Where the system refuses to tell (no descriptor is left), True for as long as anybody has its pid.
        """
        # A start time of 0 was never found out: start_time() of what had ended already.
        if self.pid <= 0 or self.start <= 0:
            return False
        try:
            return start_time(self.pid) == self.start
        except OSError:
            return os.path.exists(f"/proc/{self.pid}")  # stat(2) needs no descriptor

    def exists(self) -> bool:
        """True while there is a process of that pid, be it another one or a zombie: a quick look."""
        return self.pid > 0 and os.path.exists(f"/proc/{self.pid}")  # stat(2) needs no descriptor


#: In place of a process where there is none.
NOBODY = ProcessId(0, 0)


def _stat_fields(pid: int) -> list[bytes]:
    try:
        with io.FileIO(f"/proc/{pid}/stat") as file:
            line = file.read(4096)
    except OSError as error:
        if error.errno in _REFUSED:
            raise
        return []
    # The second field is the command in parentheses and may itself contain spaces and parentheses.
    return line[line.rindex(b")") + 2 :].split()


def start_time(pid: int) -> int:
    """Start time of a running process in clock ticks since boot; 0 if there is none or it is a zombie.

    Raises OSError where the system refuses a descriptor: that says nothing of the process.
    """
    fields = _stat_fields(pid)
    if not fields or fields[0] in (b"Z", b"X"):
        return 0
    return int(fields[19])


class Usage(NamedTuple):
    """What a process has used: bytes of memory that it has now (resident), seconds of CPU since its start."""

    memory: int
    cpu: float


def usage(pid: int) -> Usage:
    """What a process uses; nothing where there is no such process. Raises OSError as start_time()."""
    fields = _stat_fields(pid)
    if not fields:
        return Usage(0, 0.0)
    ticks = int(fields[11]) + int(fields[12])  # in user mode and in the kernel
    return Usage(int(fields[21]) * _PAGE, ticks / _TICKS)


#: A process's state (proc_pid_stat(5)) in words.
_STATES = {
    "R": "runs",
    "S": "sleeps",
    "D": "waits in the kernel and cannot be interrupted, for a disk or a network file system",
    "T": "is stopped: kill -CONT lets it go on",
    "t": "is stopped by a debugger",
    "Z": "has ended and was not waited for",
}


def state_of(pid: int) -> str:
    """The letter of a process's state, as in ps(1): 'S', 'D', 'T' ...; '' if there is no such process."""
    fields = _stat_fields(pid)
    return fields[0].decode() if fields else ""


def is_stopped(pid: int) -> bool:
    """True if a process was stopped (SIGSTOP, a terminal, a debugger): it does nothing until continued."""
    return state_of(pid) in ("T", "t")


def describe(pid: int) -> str:
    """A process for a line in the log: its pid, and what it does, as far as the kernel says."""
    state = state_of(pid)
    words = _STATES.get(state, f"is in state {state}" if state else "has ended")
    return f"pid {pid}, state {state or '-'}: it {words}"


def group_of(pid: int) -> int:
    """The process group a process is in, 0 if there is no such process."""
    fields = _stat_fields(pid)
    return int(fields[2]) if fields else 0


def group_members(group: int, session: int) -> list[ProcessId]:
    """The running processes of a process group, in one session. Reads all of /proc."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        fields = _stat_fields(int(name))
        if fields and int(fields[2]) == group and int(fields[3]) == session and fields[0] not in (b"Z", b"X"):
            found.append(ProcessId(int(name), int(fields[19])))
    return found


def parent_of(pid: int) -> int:
    """The parent's pid, 0 if there is no such process."""
    fields = _stat_fields(pid)
    return int(fields[1]) if fields else 0


def session_of(pid: int) -> int:
    """The session of a process, 0 if there is no such process."""
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def lead_group() -> None:
    """Make this process the first of a process group of its own: what it starts is in it, too."""
    try:
        os.setpgid(0, 0)
    except OSError:
        pass  # it leads a session


def current() -> ProcessId:
    """The calling process. Raises LimitError without a descriptor for it, AccessError without /proc."""
    pid = os.getpid()
    try:
        start = start_time(pid)
    except OSError as error:
        made = LimitError(
            f"this process cannot look at itself in /proc: {error.strerror}; raise the limit of open files "
            "(ulimit -n; LimitNOFILE= of a unit)"
        )
        made.errno = error.errno
        raise made from error
    if not start:
        raise AccessError(
            "/proc is not there, by which processes are told apart: mount -t proc proc /proc "
            "(in a chroot or a sandbox: mount it inside, and let this user see its own processes)"
        )
    return ProcessId(pid, start)


def ancestors() -> list[ProcessId]:
    """The calling process's parent, its parent, and so on to the root."""
    found: list[ProcessId] = []
    pid = os.getppid()
    while pid > 0:
        found.append(ProcessId(pid, start_time(pid)))
        pid = parent_of(pid)
    return found


def set_title(title: str) -> None:
    """What ps(1) shows of this process."""
    import setproctitle

    setproctitle.setproctitle(title)
