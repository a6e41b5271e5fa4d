"""Large messages in shared memory: a segment each, which goes when the message is done.

Knows /dev/shm, nothing of frames. A segment that is written, or waits in its sender for room in a queue, has
another name than one that a queue may name. So whoever finds the former of a sender that has died can remove
it: nobody will ever ask for it.

    PREFIX PID.START.NUMBER      a message; PID and START are its sender's, no NUMBER comes twice
    PREFIX new.PID.START.NUMBER  one that is not in a queue yet

The name changes by rename(2), which is one step, right before the send.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import os
import re
from collections.abc import Callable

from ipcmules.errors import AccessError
from ipcmules.kernel import exhaustion, files, processes
from ipcmules.kernel.interruption import opened
from ipcmules.kernel.processes import ProcessId

#: Where Linux keeps POSIX shared memory (shm_overview(7)): the segment /NAME is the file NAME in here.
DIRECTORY = "/dev/shm"

#: The end of a message's path; .cN and .aN say more of it (messages/large.py).
_MESSAGE = re.compile(r"(new\.)?(\d+)\.(\d+)\.(\d+(?:\.[ca]\d+)?)\Z")

_numbers = itertools.count(1)
_me = ProcessId(0, 0)


def new_name() -> str:
    """A name that no other message has: pid and start time of its sender, and a number."""
    me = _myself()
    return f"{me.pid}.{me.start}.{next(_numbers)}"


def _myself() -> ProcessId:
    global _me
    if _me.pid != os.getpid():
        _me = processes.current()
    return _me


def path_of(name: str) -> str:
    """The file that a segment is."""
    return os.path.join(DIRECTORY, name.lstrip("/"))


def unsent(path: str) -> str:
    """The path that a message, of that path, has while it is not in a queue."""
    start = _MESSAGE.search(path)
    return path if start is None else f"{path[: start.start()]}new.{path[start.start() :]}"


def write(path: str, data: bytes, created: Callable[[], object]) -> None:
    """Write a message that will have this path, under the other one. Raises OSError, e.g. ENOSPC.

    created is called before anything is in it: from then on a process that dies leaves a file.
    """
    there = unsent(path)
    try:
        with opened(there, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW) as file:
            created()
            _write_all(file.fileno(), data)
    except FileExistsError:
        raise  # somebody else has put something there
    except BaseException:
        files.remove(there)
        raise


def _write_all(descriptor: int, data: bytes) -> None:
    """Write everything. A write is short where the memory ends, and at 2 GiB (write(2))."""
    done = os.write(descriptor, data)
    if done == len(data):
        return
    view = memoryview(data)
    while done < len(view):
        done += os.write(descriptor, view[done:])


def publish(path: str) -> None:
    """The message goes into a queue now."""
    try:
        os.rename(unsent(path), path)
    except FileNotFoundError:
        pass  # it has that name already
    except OSError as error:
        if exhaustion.refused(error):
            raise exhaustion.explain(error, "a large message cannot be put into its queue") from error
        raise


def withdraw(path: str) -> None:
    """It did not go into the queue: it waits in this process."""
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, unsent(path))


def open_to_read(path: str) -> io.FileIO:
    """A message, sent or not, for a with statement. Raises FileNotFoundError if it is gone."""
    flags = os.O_RDONLY | os.O_NOFOLLOW
    try:
        try:
            return opened(path, flags)
        except FileNotFoundError:
            return opened(unsent(path), flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise AccessError(f"{path} is a symbolic link: something replaced the message") from error
        raise


def remove(path: str) -> bool:
    """Remove a message, sent or not. True if it was there."""
    return any(map(_unlink, (path, unsent(path))))


def _unlink(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


# What others have left


def sender_lives(name: str) -> bool:
    """True if another process that may hold this message in its buffer runs; name as new_name() gives it."""
    match = _MESSAGE.match(name)
    if match is None:
        return False
    sender = ProcessId(int(match[2]), int(match[3]))
    return sender != _myself() and sender.alive()


def names(directory: str, prefix: str = "") -> list[str]:
    """Names in a directory that are the prefix and then a message's: another bus's may begin so too."""
    try:
        found = os.listdir(directory)
    except FileNotFoundError:
        return []
    return [name for name in found if name.startswith(prefix) and _MESSAGE.match(name[len(prefix) :])]


def sweep(directory: str, prefix: str, spare: bool) -> int:
    """Remove the messages of a bus; returns how many there were. spare: but those of living ones."""
    start = len(prefix)
    found = [name for name in names(directory, prefix) if not (spare and sender_lives(name[start:]))]
    return sum(_unlink(os.path.join(directory, name)) for name in found)


def collect(directory: str, prefix: str) -> int:
    """Remove the messages that are in no queue and whose senders have died; returns how many living ones
    have.
    """
    start, left = len(prefix), 0
    for name in names(directory, prefix):
        match = _MESSAGE.match(name[start:])
        if match is None or not match[1]:
            continue
        if ProcessId(int(match[2]), int(match[3])).alive():
            left += 1
        else:
            _unlink(os.path.join(directory, name))
    return left
