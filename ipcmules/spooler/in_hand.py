"""What a spooler has in hand, so that its death counts as an attempt of that task, whatever killed it.

One small file a spooler, in the spool directory: ipcmules_hand_on_HOST_PID_RANDOM, whose record lock its
spooler holds while it lives. Before a task runs its name is written there, through memory; after a success
nothing is: the task's file is gone, so the entry says nothing. Whoever finds such a file without a lock
has found a spooler that died, and what it was running. That works without a master, over its death, and
between buses that share a directory.

    "MAX_ATTEMPTS BACKOFF MAX_BACKOFF NAME" and a zero byte; nothing in hand: a zero byte

Its last byte is 1 once the process was told to end (a stop, a reload): whatever kills it then is a planned
end, and no attempt of the task.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import signal
import time
from typing import NamedTuple

from ipcmules.kernel import kill, processes
from ipcmules.kernel.processes import ProcessId
from ipcmules.spooler import attempts, claim, names
from ipcmules.spooler.attempts import Policy

_SIZE = 1024
#: Where it stands that the process was told to end.
_TOLD = _SIZE - 1
#: Longer names are not written down; each character may be four bytes.
_LONGEST_NAME = 200
#: After a hand could not be made (a full disk), seconds until it is tried again.
_PATIENCE = 1.0

#: Paths of this process's hands: another with its pid may be that of a predecessor, as in containers.
_own: set[str] = set()


class Dropped(NamedTuple):
    """What a spooler that died had in hand."""

    name: str
    policy: Policy
    pid: int
    told: bool = False  #: it had been told to end


class Hand:
    """The hand of this process in one spool directory. One thread uses it."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._path = ""
        self._file = -1
        self._not_before = 0.0
        self._policy: Policy | None = None
        self._prefix = b""
        self._told = False
        self._memory: mmap.mmap | bytearray = bytearray(_SIZE)

    def prepare(self) -> str:
        """Have the file before the first task. Returns its name, '' where it cannot be made now."""
        return os.path.basename(self._path) if self._file >= 0 or self._make() else ""

    def take(self, name: str, policy: Policy) -> None:
        """Say that this process is about to run a task. Never raises: a full disk must not stop the work."""
        if len(name) <= _LONGEST_NAME:
            self.take_said(name.encode("utf-8", "surrogateescape"), policy)

    def take_said(self, name: bytes, policy: Policy) -> None:
        """As take(), for a name that is not too long."""
        if self._file < 0 and not self._make():
            return
        if policy is not self._policy:
            self._policy = policy
            self._prefix = f"{policy.max_attempts} {policy.backoff!r} {policy.max_backoff!r} ".encode()
        entry = b"%b%b\0" % (self._prefix, name)
        self._memory[: len(entry)] = entry

    def put_down(self) -> None:
        """Say that it runs nothing. Needed where the task is still there: after all but a success."""
        if self._file < 0:
            return
        self._memory[0] = 0

    def tell(self) -> None:
        """This process was told to end: its death is not the task's fault. Safe in a signal handler."""
        self._told = True
        self._memory[_TOLD] = 1

    def close(self) -> None:
        """The process ends in order: the hand goes."""
        if self._file < 0:
            return
        _unlink(self._path)
        self._forget()

    def is_there(self) -> bool:
        """False if the hand was removed, with its directory or by hand: then make a new one."""
        return self._file >= 0 and os.fstat(self._file).st_nlink > 0

    def renew(self) -> None:
        """Forget a hand that was removed; the next task makes a new one."""
        if self._file >= 0 and not self.is_there():
            self._forget()

    def _forget(self) -> None:
        os.close(self._file)
        self._file = -1
        _own.discard(self._path)

    def _make(self) -> bool:
        now = time.monotonic()
        if now < self._not_before:
            return False
        self._not_before = now + _PATIENCE
        path = os.path.join(self._directory, names.process_name(names.HAND))
        try:
            file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            fcntl.lockf(file, fcntl.LOCK_EX)
            # Room for every entry to come. Whoever saw the file before the lock may have removed it.
            os.pwrite(file, bytes(_TOLD) + bytes((self._told,)), 0)
            # A store into memory is no system call, makes no event (inotify(7)), and outlives this process.
            self._memory = mmap.mmap(file, _SIZE)
            lost = not os.fstat(file).st_nlink
        except OSError:
            lost = True
        if lost:
            _unlink(path)
            os.close(file)
            return False
        self._path, self._file = path, file
        _own.add(path)
        return True


def tell(directory: str, hand: str) -> None:
    """Write into another process's hand that it was told to end: it may not come to do so itself."""
    try:
        file = os.open(os.path.join(directory, hand), os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.pwrite(file, b"\1", _TOLD)
    except OSError:
        pass
    finally:
        os.close(file)


def hands_of(directory: str, pid: int) -> list[str]:
    """The hands of a process; of one that runs several tasks at once there are several."""
    try:
        found = os.listdir(directory)
    except OSError:
        return []
    return [each for each in found if each.startswith(names.HAND) and pid_of(each) == pid]


def kill_runner(directory: str, name: str) -> bool:
    """Kill the spooler that runs a task: SIGKILL, if its hand names the task and it has the task's lock.

    Returns False where no spooler of ours on this host is seen to run it, or it has ended. Raises OSError.
    """
    for hand in os.listdir(directory):
        if not hand.startswith(names.HAND) or os.path.join(directory, hand) in _own:
            continue
        pid = pid_of(hand)
        # Before it is verified: the number may be another process's after.
        process = ProcessId(pid, processes.start_time(pid))
        if _runs(directory, hand, pid, name):
            return kill.send(process, signal.SIGKILL)
    return False


def _runs(directory: str, hand: str, pid: int, name: str) -> bool:
    """True if a hand is a living spooler's, and the task that it names is locked by that."""
    try:
        with open(os.path.join(directory, hand), "rb") as file:
            dropped = _parse(file.read(_SIZE), pid)
            lives = claim.locker(file.fileno()) == pid
        return (
            dropped is not None
            and lives
            and dropped.name == name
            and claim.running(f"{directory}/{name}") == pid
        )
    except OSError:
        return False


def collect(directory: str, hand: str) -> Dropped | None:
    """Take what is in a dead spooler's hand, and remove the hand. None if it lives, or had nothing.

    hand: the file's name. Not for this process's own: see claim.py about closing.
    """
    path = os.path.join(directory, hand)
    if path in _own:
        return None
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.fstat(file).st_nlink:
            return None
        data = os.pread(file, _SIZE, 0)
        _unlink(path)
    except OSError:
        return None
    finally:
        os.close(file)
    return _parse(data, pid_of(hand))


def pid_of(hand: str) -> int:
    """The pid in a hand's name, 0 if it has none."""
    parts = hand.rsplit("_", 2)
    return int(parts[1]) if len(parts) == 3 and parts[1].isdigit() else 0


def _parse(data: bytes, pid: int) -> Dropped | None:
    entry, _zero, _rest = data.partition(b"\0")
    parts = entry.split(b" ", 3)
    if len(parts) != 4:
        return None
    name = os.fsdecode(parts[3])
    if not names.is_inside(name):
        return None
    try:
        policy = Policy(int(parts[0]), float(parts[1]), float(parts[2]))
    except ValueError:
        policy = attempts.DEFAULT
    return Dropped(name, policy, pid, data[_TOLD : _TOLD + 1] == b"\1")


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


os.register_at_fork(after_in_child=_own.clear)
