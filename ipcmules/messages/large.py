"""Messages that do not fit into a queue: each in a shared-memory segment, or a file, of its own.

Knows the file system, and of the segments only what segments.py offers. The frame carries a reference;
whoever receives it copies the message out, and removes it when the message is done. Written with write(2), so
that a full /dev/shm is an error (ENOSPC), where a store into mapped memory would be a SIGBUS. Docker gives
/dev/shm 64 MB: what does not fit there goes to a file in the state directory.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from ipcmules.errors import AccessError, LimitError
from ipcmules.messages import segments
from ipcmules.places import Places, private_directory, private_state

_SEGMENT, _FILE = b"s", b"f"


def directory(where: Places) -> str:
    """Where a bus's large messages go that shared memory has no room for."""
    # With the digest: two runtime directories may share one state directory, and sweep() is for one bus.
    return os.path.join(where.state, f"large-{where.kernel.split('.')[2]}")


def store(where: Places, data: bytes, attempts: int = 0) -> bytes:
    """Put a message aside and return the reference to it.

    attempts: how many processes have died with it in hand; the name carries that, see attempts_of().
    Raises LimitError if neither shared memory nor the state directory has room.
    """
    name = f"{segments.new_name()}.a{attempts}" if attempts else segments.new_name()
    try:
        segment = segments.write(where.large_prefix, name, data)
        return _reference(_SEGMENT, len(data), segment)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EFBIG):
            raise
    try:
        private_state(where)
        path = os.path.join(private_directory(directory(where)), name)
        _write_file(path, data)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise LimitError(
            f"a message of {len(data)} bytes fits neither into shared memory ({segments.DIRECTORY}) nor into "
            f"{where.state}: {error.strerror}; make room there (docker: --shm-size)"
        ) from error
    return _reference(_FILE, len(data), path)


def _reference(kind: bytes, size: int, name: str) -> bytes:
    return b"%b %d %b" % (kind, size, os.fsencode(name))


def _parse(reference: bytes) -> tuple[bytes, int, str]:
    kind, size, name = bytes(reference).split(b" ", 2)
    return kind, int(size), os.fsdecode(name)


def attempts_of(reference: bytes) -> int:
    """How many processes have died with the message in hand that a reference names."""
    last = _parse(reference)[2].rpartition(".")[2]
    return int(last[1:]) if last[:1] == "a" and last[1:].isdigit() else 0


def _write_file(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        segments.write_all(descriptor, data)
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(descriptor)


def peek(reference: bytes) -> bytes:
    """The message that a reference names, left where it is.

    Raises FileNotFoundError if it is gone, AccessError if what has its name is not ours.
    """
    kind, size, name = _parse(reference)
    descriptor = _open(kind, name)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or not stat.S_ISREG(found.st_mode) or found.st_size != size:
            raise AccessError(
                f"{name} is not the message of {size} bytes it should be: something replaced it"
            )
        data = os.read(descriptor, size)
        if len(data) == size:
            return data
        parts = [data]
        while part := os.read(descriptor, size):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(descriptor)


def _open(kind: bytes, name: str) -> int:
    if kind == _FILE:
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    return segments.open_to_read(name)


def discard(reference: bytes) -> None:
    """Remove the message that a reference names; one that is gone already is no error."""
    kind, size, name = _parse(reference)
    if kind == _SEGMENT:
        segments.free(name, size)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name)


def load(reference: bytes) -> bytes:
    """The message that a reference names; it is removed."""
    data = peek(reference)
    discard(reference)
    return data


def sweep(where: Places, spare: bool = False) -> int:
    """Remove the large messages of this bus, when no queue can name one; returns how many there were.

    spare: leave those of other living senders: they wait in a buffer, for this bus's successor.
    """
    count = segments.sweep(where.large_prefix, spare)
    with contextlib.suppress(FileNotFoundError):
        path = directory(where)
        for name in os.listdir(path):
            if not (spare and segments.sender_lives(name)):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(path, name))
                    count += 1
        with contextlib.suppress(OSError):  # somebody's is left in it
            os.rmdir(path)
    return count


def release() -> None:
    """At the end of this process: remove what it had to store large messages in again."""
    segments.release()
