"""How deep and how wide a bus's queues can be under the kernel's limits.

Arithmetic alone: knows numbers, opens nothing but the limits in /proc. A queue is charged
depth * (size + 96) bytes against RLIMIT_MSGQUEUE, per user over all of that user's queues
(mq_overview(7), getrlimit(2)).

Private queues (one receiver) carry frames of several messages, so size comes before depth: at one
price 1 x 3,920 bytes carried 2.7 times uWSGI's rate, 2 x 1,912 2.1 times, 10 x 305 1.2 times.
Shared queues carry one message a frame, so depth comes first.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass

#: What the kernel charges for a message beside its size.
CHARGE = 96
#: No queue of ours has wider messages, whatever the limits: the in-flight slots are this wide.
WIDEST = 16384
#: The narrowest: a reference to a large message and some small messages fit.
NARROWEST = 256

_PRIVATE_WIDE = 8192
_PRIVATE_DEPTH = 4
_SHARED_WIDE = 4096
_SHARED_DEPTH = 64
#: Part of the budget that the shared queues may take before the private ones have theirs.
_SHARED_PART = 8
#: RLIMIT_MSGQUEUE where nobody sets it, and more than any bus can use.
DEFAULT, _ENOUGH = 819200, 1 << 40


@dataclass(frozen=True)
class Limits:
    """The kernel's limits: deepest queue, widest message, number of queues, bytes a user."""

    depth: int
    size: int
    queues: int
    bytes: int


@dataclass(frozen=True)
class Shape:
    """Depth and message size of a queue."""

    depth: int
    size: int

    @property
    def charge(self) -> int:
        """Bytes the kernel counts for it."""
        return self.depth * (self.size + CHARGE)


@dataclass(frozen=True)
class Plan:
    """Shapes for all of a bus's queues."""

    private: Shape
    shared: Shape

    def total(self, private: int, shared: int) -> int:
        """Bytes the kernel counts for so many queues."""
        return private * self.private.charge + shared * self.shared.charge


MINIMAL = Plan(Shape(1, NARROWEST), Shape(1, NARROWEST))


def limits() -> Limits:
    """The limits in force for this process."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
    return Limits(
        depth=_read("msg_max", 10),
        size=_read("msgsize_max", 8192),
        queues=_read("queues_max", 256),
        bytes=soft if soft != resource.RLIM_INFINITY else 1 << 62,
    )


def _read(name: str, default: int) -> int:
    try:
        with open(f"/proc/sys/fs/mqueue/{name}", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return default


def plan(private: int, shared: int, budget: int, limit: Limits) -> Plan | None:
    """The best shapes for so many private and shared queues in budget bytes; None if not even small fit."""
    if MINIMAL.total(private, shared) > budget or limit.size < NARROWEST:
        return None
    shared_shape = _shared_shape(budget // _SHARED_PART // max(shared, 1), limit)
    for shape in (shared_shape, Shape(min(4, limit.depth), NARROWEST), MINIMAL.shared):
        left = budget - shared * shape.charge
        private_shape = _private_shape(left // max(private, 1), limit)
        if private_shape is not None:
            return Plan(private_shape, shape)
    return None


def most(private: int, shared: int, limit: Limits) -> int:
    """The budget in bytes from which on plan() finds nothing better."""
    best = plan(private, shared, _ENOUGH, limit) or MINIMAL
    return max(best.total(private, shared), _SHARED_PART * shared * best.shared.charge)


def _private_shape(budget: int, limit: Limits) -> Shape | None:
    """The shape of a private queue in budget bytes."""
    widest = min(limit.size, _PRIVATE_WIDE)

    def width(depth: int) -> int:
        return min(budget // depth - CHARGE, widest)

    if limit.depth >= _PRIVATE_DEPTH and width(_PRIVATE_DEPTH) >= min(4096, widest):
        return Shape(_PRIVATE_DEPTH, width(_PRIVATE_DEPTH))
    if limit.depth >= 2 and width(2) >= 1024:
        return Shape(2, min(width(2), 4096))
    if width(1) >= NARROWEST:
        return Shape(1, width(1))
    return None


def _shared_shape(budget: int, limit: Limits) -> Shape:
    """The shape of a shared queue in about budget bytes; at least ten (or the deepest) small ones."""
    for wanted in (_SHARED_DEPTH, 32, 16, 10):
        depth = min(wanted, limit.depth)
        for size in (_SHARED_WIDE, 2048, 1024):
            shape = Shape(depth, min(size, limit.size))
            if shape.charge <= budget:
                return shape
    for size in (512, NARROWEST):
        shape = Shape(min(10, limit.depth), size)
        if shape.charge <= budget:
            return shape
    return Shape(min(10, limit.depth), NARROWEST)
