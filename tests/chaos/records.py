"""What the processes under fire write down: a line a record, each by one write(2) to a file opened O_APPEND.

So a line is whole or not there, whatever kills the writer (POSIX, write: the offset is set to the end and the
write is done without another between). Files in the directory of $CHAOS_RECORDS:

    handled     m SENDER ROUTE NUMBER PID      a mule received a message
                s SIGNAL PID                   a handler was called
    sent.ID     t ROUTE NUMBER                 the sender is about to send
                a ROUTE NUMBER                 ... it was accepted
                r ROUTE NUMBER                 ... it was refused, by an exception or False
                T SIGNAL, A SIGNAL, R SIGNAL   the same of a signal
                i ROUTE NUMBER, I SIGNAL       ... it was interrupted: done once or not at all
                L                              a lock section is done
    lock.N      in PID GENERATION, out PID GENERATION
    interrupted KIND PID                       a call of this kind was interrupted
    forked      WHAT PID                       a child of a mule returns, raises, or (a fault) handles
    refused     WHAT WHY                       a call was refused, in words
"""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "CHAOS_RECORDS"
#: The kinds of mischief that are done, with commas between them.
KINDS = "CHAOS_KINDS"

#: Routes by name, and the second argument of mule_msg for each.
ROUTES: dict[str, int | str] = {
    "pool": 0,
    "mule1": 1,
    "mule2": 2,
    "mule3": 3,
    "mule4": 4,
    "farm.a": "a",
    "farm.b": "b",
}
FARMS = {"farm.a": (1, 3), "farm.b": (1, 2, 3, 4)}
MULES = 4
#: Signals by number: target, and how many processes handle one raise.
SIGNALS: dict[int, tuple[str, int]] = {1: ("mule1", 1), 2: ("mule", 1), 3: ("farm_a", 1), 4: ("mules", MULES)}
LOCKS = 2
#: Every so many messages one is larger than a frame and travels in a segment of its own.
LARGE_EVERY, LARGE = 997, 20_000

_descriptors: dict[str, int] = {}


def write(name: str, line: str) -> None:
    """Append one line to a file."""
    descriptor = _descriptors.get(name)
    if descriptor is None:
        path = Path(os.environ[VARIABLE], name)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _descriptors[name] = descriptor
    if line:
        os.write(descriptor, line.encode() + b"\n")


def open_all() -> None:
    """Open what is common to all, for a process that may get no descriptor later."""
    for name in ("handled", "interrupted", "forked", "refused", *(f"lock.{each}" for each in range(LOCKS))):
        write(name, "")


def does(kind: str) -> bool:
    """True if this kind of mischief is done in this run."""
    return kind in os.environ.get(KINDS, "").split(",")


def lines(path: Path) -> list[str]:
    """What was written to a file; of one that does not exist nothing."""
    return [each for each in path.read_text().splitlines() if each] if path.exists() else []


def body(sender: str, route: str, number: int) -> bytes:
    """A message that says whose it is."""
    text = f"{sender} {route} {number} "
    return text.encode() + b"." * (LARGE if number % LARGE_EVERY == LARGE_EVERY - 1 else number % 60)


def key(data: bytes) -> tuple[str, str, int]:
    """The inverse of body()."""
    sender, route, number, _ = data.split(b" ", 3)
    return sender.decode(), route.decode(), int(number)
