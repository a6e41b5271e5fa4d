"""Messages that do not fit into a queue: each in a shared-memory segment, or a file, of its own.

Knows the file system, and of its names only what segments.py offers. The frame carries a reference;
whoever receives it copies the message out, and removes it when the message is done. Written with write(2), so
that a full /dev/shm is an error (ENOSPC), where a store into mapped memory would be a SIGBUS. Docker gives
/dev/shm 64 MB: what does not fit there goes to a file in the state directory.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable

from ipcmules.bus.places import Places, private_directory, private_state
from ipcmules.errors import AccessError, LimitError
from ipcmules.kernel import exhaustion
from ipcmules.messages import segments

_SEGMENT, _FILE = b"s", b"f"


def directory(where: Places) -> str:
    """Where a bus's large messages go that shared memory has no room for."""
    return os.path.join(where.state, f"large-{where.digest}")


def store(
    where: Places,
    data: bytes,
    attempts: int = 0,
    created: Callable[[], object] = bool,
    context: bytes = b"",
) -> bytes:
    """Put a message aside and return the reference to it. publish() it right before it goes into a queue.

    attempts: how many processes have died with it in hand; the name carries that, see attempts_of(). created:
    called as soon as it has a name, see collect(). context: what stands behind it, see context_of(); of one
    that no process has died with.
    Raises LimitError if neither shared memory nor the state directory has room, or there is no descriptor.
    """
    name = segments.new_name()
    if attempts:
        name = f"{name}.a{attempts}"
    elif context:
        name, data = f"{name}.c{len(context)}", data + context
    segment = where.large_prefix + name
    reference = _reference(_SEGMENT, len(data), segment)
    try:
        segments.write(segments.path_of(segment), data, created)
        return reference  # made before: from the write on no call, so that no handler raises when it is there
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EFBIG):
            raise _explained(error, len(data)) from error
    try:
        private_state(where)
        path = os.path.join(private_directory(directory(where)), name)
        reference = _reference(_FILE, len(data), path)
        segments.write(path, data, created)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _explained(error, len(data)) from error
        raise LimitError(
            f"a message of {len(data)} bytes fits neither into shared memory ({segments.DIRECTORY}) nor into "
            f"{where.state}: {error.strerror}; "
            f"{exhaustion.remedy(error, 'make room there (docker: --shm-size)')}"
        ) from error
    return reference


def _explained(error: OSError, size: int) -> OSError:
    """What to raise where a message cannot be put aside for another reason than room."""
    if not exhaustion.refused(error):
        return error
    return exhaustion.explain(error, f"a message of {size} bytes cannot lie by itself")


def publish(reference: bytes) -> None:
    """The message that a reference names goes into a queue now."""
    segments.publish(_path(reference))


def withdraw(reference: bytes) -> None:
    """It did not go into the queue, and waits in this process."""
    segments.withdraw(_path(reference))


def _reference(kind: bytes, size: int, name: str) -> bytes:
    return b"%b %d %b" % (kind, size, os.fsencode(name))


def _parse(reference: bytes) -> tuple[bytes, int, str]:
    kind, size, name = bytes(reference).split(b" ", 2)
    return kind, int(size), os.fsdecode(name)


def attempts_of(reference: bytes) -> int:
    """How many processes have died with the message in hand that a reference names."""
    return _said(_parse(reference)[2], "a")


def context_of(reference: bytes) -> bytes:
    """The context of the sender that stands behind a message; nothing where none does.

    Raises as peek().
    """
    size = _said(_parse(reference)[2], "c")
    return _read(reference)[-size:] if size else b""


def _said(name: str, what: str) -> int:
    """The number in the last part of a name, if that begins so; else 0."""
    last = name.rpartition(".")[2]
    return int(last[1:]) if last[:1] == what and last[1:].isdigit() else 0


def _path(reference: bytes) -> str:
    kind, _size, name = _parse(reference)
    return name if kind == _FILE else segments.path_of(name)


def peek(reference: bytes) -> bytes:
    """The message that a reference names, left where it is.

    Raises FileNotFoundError if it is gone, AccessError if what has its name is not ours.
    """
    size = _said(_parse(reference)[2], "c")
    return _read(reference)[:-size] if size else _read(reference)


def _read(reference: bytes) -> bytes:
    _kind, size, name = _parse(reference)
    with segments.open_to_read(_path(reference)) as file:
        descriptor = file.fileno()
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


def discard(reference: bytes) -> None:
    """Remove the message that a reference names; one that is gone already is no error."""
    segments.remove(_path(reference))


def load(reference: bytes) -> bytes:
    """The message that a reference names; it is removed."""
    data = peek(reference)
    discard(reference)
    return data


def sweep(where: Places, spare: bool = False) -> int:
    """Remove the large messages of this bus, when no queue can name one; returns how many there were.

    spare: leave those of other living senders: they wait in a buffer, for this bus's successor.
    """
    count = 0
    for place, prefix in _places(where):
        count += segments.sweep(place, prefix, spare)
    with contextlib.suppress(OSError):  # there is none, or somebody's is left in it
        os.rmdir(directory(where))
    return count


def collect(where: Places) -> int:
    """Remove what dead senders have stored and not sent; returns how many living ones have such.

    A sender that is killed between publish() and its send leaves a message until the bus ends: nobody can
    tell it from one that is in a queue.
    """
    return sum(segments.collect(place, prefix) for place, prefix in _places(where))


def _places(where: Places) -> tuple[tuple[str, str], tuple[str, str]]:
    """Directories with large messages, and what their names begin with."""
    return (segments.DIRECTORY, where.large_prefix.lstrip("/")), (directory(where), "")
