"""Frames: how messages lie in one slot of a queue. Specified in docs/formats-messages.md.

Knows bytes and nothing else. A frame begins with a little-endian 16-bit word:

    1               one message: everything behind the word
    2 to 1024       so many messages: their 16-bit lengths, then their bodies
    0x8000          a message too large for the queue: behind the word is the reference to it
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from struct import Struct, error
from typing import Any

from ipcmules.errors import IpcMulesError

#: Bytes in front of a single message, or of a reference.
OVERHEAD = 2
#: Bytes each message costs in a frame of several, beside its body.
EACH = 2
#: Most messages a frame carries.
MOST = 1024
#: Largest body of a message in a frame of several: its length is a 16-bit number.
LONGEST = 0xFFFF

SINGLE = b"\x01\x00"
#: A frame without a message: there is something in a lane (messages/lanes).
WAKE = b"\x00\x00"
LARGE = b"\x00\x80"

_WORD = Struct("<H")
#: Structs by what they parse. Making one takes 10 us and more, so only a header seen twice gets one.
_headers: dict[int, Struct] = {}
_bodies: dict[bytes, Callable[[bytes], tuple[Any, ...]]] = {}
_seen: set[bytes] = set()
#: What frames of messages of one length begin with, by how many and how long.
_alike: dict[tuple[int, int], bytes] = {}
_CACHED = 512


class FrameError(IpcMulesError, ValueError):
    """Bytes that are no frame: something else wrote into the queue."""


def fitting(messages: Sequence[bytes], capacity: int) -> int:
    """How many of the messages, from the first on, fit into one frame of capacity bytes (at least 1)."""
    return fitting_lengths(list(map(len, messages[:MOST])), capacity)


def fitting_lengths(lengths: Sequence[int], capacity: int) -> int:
    """As fitting(), for messages of these lengths, at most MOST of them."""
    ends = list(accumulate(lengths))
    # n messages of together ends[n - 1] bytes take EACH more for each: that grows with n and can be bisected.
    numbers = range(1, len(ends) + 1)
    count = bisect_right(numbers, capacity - OVERHEAD, key=lambda n: ends[n - 1] + EACH * n)
    return max(count, 1)


def fills(messages: Sequence[bytes], following: bytes, capacity: int) -> bool:
    """True if exactly these messages fit into a frame, and the following one not any more."""
    size = sum(map(len, messages)) + EACH * len(messages) + OVERHEAD
    return size <= capacity < size + len(following) + EACH


def pack(messages: Sequence[bytes]) -> bytes:
    """One frame of 1 to 1024 messages."""
    count = len(messages)
    if count == 1:
        return SINGLE + messages[0]
    return join(list(map(len, messages)), b"".join(messages))


def join(lengths: Sequence[int], bodies: bytes) -> bytes:
    """One frame of 1 to 1024 messages, of these lengths, whose bodies lie one behind the other."""
    count = len(lengths)
    if count == 1:
        return SINGLE + bodies
    header = _headers.get(count)
    if header is None:
        header = _headers[count] = Struct(f"<{count + 1}H")
    return header.pack(count, *lengths) + bodies


def alike(count: int, length: int, bodies: bytes) -> bytes:
    """As join(), of messages that all have this length: what most frames are that carry many."""
    header = _alike.get((count, length))
    if header is None:
        if len(_alike) >= _CACHED:
            _alike.clear()
        header = _alike[count, length] = join([length] * count, b"")
    return header + bodies


def large(reference: bytes) -> bytes:
    """A frame that names a message which travels elsewhere (ipcmules.messages.large)."""
    return LARGE + reference


def count_of(frame: bytes) -> int:
    """How many messages a frame carries (a reference is one). Raises FrameError if it is none."""
    if len(frame) < OVERHEAD:
        raise FrameError(f"a frame has at least {OVERHEAD} bytes, this one has {len(frame)}")
    count = frame[0] | frame[1] << 8
    if count == 0x8000:
        return 1
    if not 1 <= count <= MOST:
        raise FrameError(f"a frame cannot carry {count} messages: something else wrote into this queue")
    return count


def is_large(frame: bytes) -> bool:
    """True if the frame carries a reference."""
    return frame[:OVERHEAD] == LARGE


def unpack(frame: bytes) -> Sequence[bytes]:
    """The messages of a frame; for a large one the reference alone. Raises FrameError if it is none."""
    count = count_of(frame)
    if count == 1:
        return (frame[OVERHEAD:],)
    start = OVERHEAD + EACH * count
    header = frame[:start]
    parse = _bodies.get(header)
    if parse is None:
        parse = _parser(frame, header, count, start)
        if parse is None:
            return _slices(frame, header, count, start)
    if len(frame) < start:
        raise FrameError(f"a frame of {count} messages has at least {start} bytes, this one has {len(frame)}")
    try:
        return parse(frame)
    except error as problem:  # nothing else: a signal handler of the program may raise here
        raise FrameError(f"a frame of {len(frame)} bytes does not match its lengths") from problem


def _parser(frame: bytes, header: bytes, count: int, start: int) -> Callable[[bytes], tuple[Any, ...]] | None:
    """The cached parser of this header, made when it is seen for the second time; None until then."""
    if header not in _seen:
        if len(_seen) >= _CACHED:
            _seen.clear()
        _seen.add(header)
        return None
    if len(header) < start:
        return None
    if len(_bodies) >= _CACHED:
        _bodies.clear()
    lengths = Struct(f"<{count}H").unpack_from(header, OVERHEAD)
    parse = Struct(f"<{start}x" + "".join(f"{length}s" for length in lengths)).unpack
    _bodies[header] = parse
    return parse


def _slices(frame: bytes, header: bytes, count: int, start: int) -> list[bytes]:
    if len(header) < start:
        raise FrameError(f"a frame of {count} messages has at least {start} bytes, this one has {len(frame)}")
    lengths = Struct(f"<{count}H").unpack_from(header, OVERHEAD)
    found = []
    for length in lengths:
        found.append(frame[start : start + length])
        start += length
    if start != len(frame):
        raise FrameError(f"a frame of {len(frame)} bytes does not match its lengths, which end at {start}")
    return found
