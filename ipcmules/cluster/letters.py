"""Letters: messages of the cluster on their way through this host's queues. Specified in
docs/formats-cluster.md.

A letter is a message with the name of its delivery in front, by which it is acknowledged or handed back.
Knows bytes and nothing else.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

#: What a letter begins with; an application's own message that does so too is refused by no one, and no
#: letter.
PREFIX = b"\x00ipcmules-letter\x01"
SIZE = len(PREFIX)

_HEAD = Struct("<QHH")
_BODY = SIZE + _HEAD.size


class Letter(NamedTuple):
    """A delivery of a message.

    generation: of the bus that took it from the cluster. token: how the cluster calls the delivery.
    deliveries: how often the message was delivered, this time included.
    """

    generation: int
    token: str
    deliveries: int
    body: bytes


def pack(letter: Letter) -> bytes:
    """A letter's bytes."""
    token = letter.token.encode()
    head = _HEAD.pack(letter.generation, len(token), min(letter.deliveries, 0xFFFF))
    return b"".join((PREFIX, head, token, letter.body))


def unpack(data: bytes) -> Letter | None:
    """The letter of some bytes; None if they are none."""
    if data[:SIZE] != PREFIX or len(data) < _BODY:
        return None
    generation, length, deliveries = _HEAD.unpack_from(data, SIZE)
    if len(data) < _BODY + length:
        return None
    return Letter(
        generation,
        data[_BODY : _BODY + length].decode("utf-8", "replace"),
        deliveries,
        data[_BODY + length :],
    )
