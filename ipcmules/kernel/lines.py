"""Lines on stderr that never wait for whoever should read them.

A pipe that nobody reads is full after 64 KiB, and a write to it lasts for ever: then the bus stood still for
its log. What does not fit waits here, up to a limit, and leaves with a later line; what is more is dropped
and counted. stderr itself stays as it is: to make it non-blocking would make it so for every process that
shares it (open(2)), so a pipe or terminal is opened once more for a write. Platform-specific. Knows nothing
of the log's format.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from collections import deque

#: Bytes that wait in this process at most.
MOST = 64 * 1024
#: A pipe that is ready takes so many (pipe(7), PIPE_BUF).
_CHUNK = 4096

#: So often it is looked whether the file was moved away, seconds.
_OFTEN = 1.0
#: The file that stderr is, '' where that is not to be looked at; when it is next (time.monotonic()).
_file = ""
_next_look = 0.0

_waiting: deque[bytes] = deque()
_size = 0
_dropped = 0


def write(line: bytes) -> None:
    """Write a line as far as it goes without waiting; the rest is kept, or dropped. Never raises."""
    global _size, _dropped
    look()
    drain()
    rest = line if _waiting else _write(line)
    if not rest:
        return
    if _size + len(rest) > MOST and rest is line:  # of one that has begun the rest must follow
        _dropped += 1
        return
    _waiting.append(rest)
    _size += len(rest)


def look() -> None:
    """Every so often, see whether the file was moved away: before the app prints, too."""
    if _file and time.monotonic() >= _next_look:
        reopen()


def follow(path: str) -> None:
    """stderr is this file, which somebody may move away: then it is made again under its name."""
    global _file
    _file = path


def reopen() -> None:
    """Make stderr, and stdout where that is the same, the file of this name again, if it was moved away."""
    global _next_look
    if not _file:
        return
    _next_look = time.monotonic() + _OFTEN
    try:
        before = os.fstat(2)
        try:
            if os.path.samestat(os.stat(_file), before):
                return
        except FileNotFoundError:
            pass
        become(_file, 2)
        if os.path.samestat(os.fstat(1), before):
            os.dup2(2, 1)
    except OSError:
        pass  # its directory is gone, or there is no descriptor: it is looked again


def become(path: str, descriptor: int) -> None:
    """Make a descriptor one that appends to a file, which is made with mode 0640. Raises OSError."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY | os.O_CLOEXEC, 0o640)
    try:
        os.dup2(file, descriptor)
    finally:
        os.close(file)


def drain() -> None:
    """Write what waits, as far as it goes."""
    global _size
    while _waiting:
        rest = _write(_waiting[0])
        _size -= len(_waiting[0]) - len(rest)
        if rest:
            _waiting[0] = rest
            return
        _waiting.popleft()


def waits() -> bool:
    """True if there is something that could not be written yet."""
    return bool(_waiting)


def take_dropped() -> int:
    """How many lines were dropped since this was asked last; 0 while some still wait."""
    global _dropped
    if _waiting:
        return 0
    count, _dropped = _dropped, 0
    return count


def _write(data: bytes) -> bytes:
    """Write without waiting; what is left, b"" also where nobody can be told."""
    try:
        mode = os.fstat(2).st_mode
        if stat.S_ISFIFO(mode) or (stat.S_ISCHR(mode) and os.isatty(2)):
            return _write_again(data)
        if stat.S_ISSOCK(mode):
            return _send(data)
        os.write(2, data)  # a file: no reader
    except BlockingIOError:
        return data
    except OSError:
        pass
    return b""


def _write_again(data: bytes) -> bytes:
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open("/proc/self/fd/2", flags)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return b""  # nobody has its other end (fifo(7))
        return _write_when_ready(data)  # it was opened by another user, or there is no descriptor left
    try:
        return data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)


def _write_when_ready(data: bytes) -> bytes:
    """Where it cannot be opened again: only another writer at the same instant can make this one wait."""
    poll = select.poll()
    poll.register(2, select.POLLOUT)
    while data and poll.poll(0):
        data = data[os.write(2, data[:_CHUNK]) :]
    return data


def _send(data: bytes) -> bytes:
    import socket

    with socket.socket(fileno=os.dup(2)) as connection:
        return data[connection.send(data, socket.MSG_DONTWAIT) :]


def _forget() -> None:
    """In a forked child: what waits is the parent's."""
    global _size, _dropped
    _waiting.clear()
    _size = _dropped = 0


os.register_at_fork(after_in_child=_forget)
