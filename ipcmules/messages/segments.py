"""Large messages in shared memory: a segment each, and segments that are used again.

Knows /dev/shm, nothing of frames. Pages are what a large message costs: allocated, zeroed and freed for 1 MiB
they take five times as long as writing into pages that exist. So a message that is done leaves its segment,
under a free name, to the process that sent it; the next message is written there.

    PREFIX PID.START.NUMBER      a message; PID and START are its sender's, no NUMBER comes twice
    PREFIX free.PID.START.SLOT   a free segment of that sender; nothing refers to it

A name changes by rename(2), which is one step: a segment has one name at any time, so nobody finds a message
under a name that is free or another message's, and two threads cannot both take a free one.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import stat
import time

from ipcmules import processes
from ipcmules.errors import AccessError
from ipcmules.processes import ProcessId

#: Where Linux keeps POSIX shared memory (shm_overview(7)): the segment /NAME is the file NAME in here.
DIRECTORY = "/dev/shm"

#: A sender has at most so many free segments, none of them larger than this.
SLOTS = 4
REUSED = 4 << 20
#: How often the senders this process has given segments back to are looked at, in seconds.
_LOOK = 1.0

#: A message that processes have died with ends in .aN (messages/large.py).
_MESSAGE = re.compile(r"(\d+)\.(\d+)\.\d+(?:\.a\d+)?\Z")
_FREE = re.compile(r"free\.(\d+)\.(\d+)\.\d\Z")

_numbers = itertools.count(1)
_me = ProcessId(0, 0)
#: Prefixes under which this process may have free segments, and where it has looked for dead senders' ones.
_used: set[str] = set()
#: Senders that this process has left segments to, with their prefix.
_given: dict[tuple[str, ProcessId], None] = {}
_looked = 0.0


def new_name() -> str:
    """A name that no other message has: pid and start time of its sender, and a number."""
    me = _myself()
    return f"{me.pid}.{me.start}.{next(_numbers)}"


def _myself() -> ProcessId:
    global _me
    if _me.pid != os.getpid():
        _used.clear()
        _given.clear()
        _me = processes.current()
    return _me


def _path(name: str) -> str:
    return os.path.join(DIRECTORY, name.lstrip("/"))


def _slot(prefix: str, owner: ProcessId, number: int) -> str:
    return _path(f"{prefix}free.{owner.pid}.{owner.start}.{number}")


def write(prefix: str, name: str, data: bytes) -> str:
    """Put a message into a segment of its own and return the segment's name. Raises OSError, e.g. ENOSPC."""
    path = _path(prefix + name)
    descriptor = _take(prefix, path) if len(data) <= REUSED else -1
    if descriptor < 0:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
    try:
        os.ftruncate(descriptor, len(data))
        write_all(descriptor, data)
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(descriptor)
    return prefix + name


def _take(prefix: str, path: str) -> int:
    """Give one of this process's free segments a message's name; its descriptor, -1 if there is none."""
    me = _myself()
    if prefix not in _used:
        _used.add(prefix)
        _remove_of_the_dead(prefix)
    for number in range(SLOTS):
        try:
            os.rename(_slot(prefix, me, number), path)
        except FileNotFoundError:
            continue
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        found = os.fstat(descriptor)
        if _is_ours(found) and found.st_nlink == 1:
            return descriptor
        os.close(descriptor)
        os.unlink(path)
        return -1
    return -1


def write_all(descriptor: int, data: bytes) -> None:
    """Write everything. A write is short where the memory ends, and at 2 GiB (write(2))."""
    done = os.write(descriptor, data)
    if done == len(data):
        return
    view = memoryview(data)
    while done < len(view):
        done += os.write(descriptor, view[done:])


def open_to_read(name: str) -> int:
    """A descriptor of a message's segment. Raises FileNotFoundError if it is gone."""
    try:
        return os.open(_path(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise AccessError(f"{name} is a symbolic link: something replaced the message") from error
        raise


def _is_ours(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and stat.S_ISREG(found.st_mode) and not found.st_mode & 0o077


def free(name: str, size: int) -> None:
    """A message is done: its segment goes back to its sender, if that one lives, else it is removed."""
    path = _path(name)
    prefix, owner = _owner(name)
    if owner is None or size > REUSED or not owner.alive():
        _unlink(path)
        return
    # Two receivers may choose one slot: then the later segment replaces the earlier, which is free as well.
    slot = next((slot for slot in _slots(prefix, owner) if not os.path.lexists(slot)), "")
    with contextlib.suppress(FileNotFoundError):
        if slot:
            os.rename(path, slot)
        else:
            os.unlink(path)
    _myself()
    _given[prefix, owner] = None
    _see_given()


def _owner(name: str) -> tuple[str, ProcessId | None]:
    """The prefix and the sender in a message's name."""
    parts = name.rsplit(".", 3)
    if len(parts) != 4 or not parts[1].isdigit() or not parts[2].isdigit():
        return "", None
    return parts[0] + ".", ProcessId(int(parts[1]), int(parts[2]))


def _slots(prefix: str, owner: ProcessId) -> list[str]:
    return [_slot(prefix, owner, number) for number in range(SLOTS)]


def _unlink(path: str) -> bool:
    """True if it was there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


# Free segments do not stay for ever


def _see_given() -> None:
    """Every so often: remove the free segments of senders that have ended since."""
    global _looked
    now = time.monotonic()
    if now - _looked < _LOOK:
        return
    _looked = now
    for prefix, owner in list(_given):
        if not owner.alive():
            _given.pop((prefix, owner), None)
            for slot in _slots(prefix, owner):
                _unlink(slot)


def _remove_of_the_dead(prefix: str) -> None:
    """Remove free segments of this bus whose senders have ended, before this process makes its own."""
    for name, match in _names(prefix, _FREE):
        if not ProcessId(int(match[1]), int(match[2])).alive():
            _unlink(_path(name))


def _names(prefix: str, pattern: re.Pattern[str]) -> list[tuple[str, re.Match[str]]]:
    """Names in the directory that are the prefix and then the pattern: another bus's may begin so too."""
    start = prefix.lstrip("/")
    names = [name for name in os.listdir(DIRECTORY) if name.startswith(start)]
    matches = [(name, pattern.match(name[len(start) :])) for name in names]
    return [(name, match) for name, match in matches if match is not None]


def release() -> None:
    """At the end of this process: remove the free segments it has."""
    me = _myself()
    for prefix in tuple(_used):
        for slot in _slots(prefix, me):
            _unlink(slot)


def sender_lives(name: str) -> bool:
    """True if another process that may hold this message in its buffer runs; name as new_name() gives it."""
    match = _MESSAGE.match(name)
    if match is None:
        return False
    sender = ProcessId(int(match[1]), int(match[2]))
    return sender != _myself() and sender.alive()


def sweep(prefix: str, spare: bool) -> int:
    """Remove the segments under a prefix; returns how many of them were messages.

    spare: leave the messages of other living processes.
    """
    start = len(prefix.lstrip("/"))
    count = 0
    for name, _ in _names(prefix, _MESSAGE):
        if not (spare and sender_lives(name[start:])):
            count += _unlink(_path(name))
    for name, _ in _names(prefix, _FREE):
        _unlink(_path(name))
    return count
