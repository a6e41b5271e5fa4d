"""Letters: messages of the cluster on their way through this host's queues. Specified in
docs/formats-cluster.md.

A letter is a message with the name of its delivery in front, by which it is acknowledged or handed back. It
bears the bus's *seal*, random bytes that no application is ever given: so no message that an application
sends, whatever its bytes, is taken for one. Knows bytes, and the seal's file.
"""

from __future__ import annotations

import os
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ipcmules.bus.places import Places

#: What a letter begins with, in front of the seal.
PREFIX = b"\x00ipcmules-letter\x02"
SIZE = len(PREFIX)
#: Bytes of a seal.
SEAL = 16

_HEAD = Struct("<QHH")
_SEALED = SIZE + SEAL
_BODY = _SEALED + _HEAD.size
#: Seals by the path of their file: a file is read once a process.
_seals: dict[str, bytes] = {}


class Letter(NamedTuple):
    """A delivery of a message.

    generation: of the bus that took it from the cluster. token: how the cluster calls the delivery.
    deliveries: how often the message was delivered, this time included.
    """

    generation: int
    token: str
    deliveries: int
    body: bytes


def pack(letter: Letter, seal: bytes) -> bytes:
    """A letter's bytes."""
    token = letter.token.encode()
    head = _HEAD.pack(letter.generation, len(token), min(letter.deliveries, 0xFFFF))
    return b"".join((PREFIX, seal, head, token, letter.body))


def unpack(data: bytes, seal: bytes) -> Letter | None:
    """The letter of some bytes; None if they are none under this seal."""
    if data[:SIZE] != PREFIX or len(data) < _BODY or data[SIZE:_SEALED] != seal:
        return None
    generation, length, deliveries = _HEAD.unpack_from(data, _SEALED)
    if len(data) < _BODY + length:
        return None
    return Letter(
        generation,
        data[_BODY : _BODY + length].decode("utf-8", "replace"),
        deliveries,
        data[_BODY + length :],
    )


def opened(where: Places, data: bytes) -> Letter | None:
    """The letter of some bytes on this bus; None if they are none of its own."""
    if data[:SIZE] != PREFIX:
        return None
    seal = _read(_path(where))
    return None if seal is None else unpack(data, seal)


def seal(where: Places) -> bytes:
    """The bus's seal, made if there is none. It outlives the bus, as letters in its queues may.

    Raises OSError, AccessError where it cannot be stored.
    """
    from ipcmules.bus.places import private_state

    path = _path(where)
    if (found := _read(path)) is not None:
        return found
    private_state(where)
    fresh = f"{path}.{os.getpid()}"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, os.urandom(SEAL))
        os.link(fresh, path)  # never over one that is there
    except FileExistsError:
        pass
    finally:
        os.close(descriptor)
        os.unlink(fresh)
    made = _read(path)
    if made is None:
        raise OSError(f"{path} is no seal of {SEAL} bytes: remove it")
    return made


def _path(where: Places) -> str:
    return os.path.join(where.state, f"seal-{where.digest}")


def _read(path: str) -> bytes | None:
    found = _seals.get(path)
    if found is None:
        try:
            with open(path, "rb") as file:
                found = file.read()
        except OSError:
            return None
        if len(found) != SEAL:
            return None
        _seals[path] = found
    return found
