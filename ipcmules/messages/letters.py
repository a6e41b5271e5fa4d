"""Dead letters as people see them: which there are, and taking one away, by one command at a time.

Knows kept messages and files; how one is sent again is the caller's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator

from ipcmules.bus.places import Places
from ipcmules.messages import kept
from ipcmules.messages.kept import Kept


def headers(where: Places, say: Callable[[str], None]) -> tuple[list[Kept], int]:
    """The dead letters, without their messages, and how many other messages wait to be queued again.

    say: told of each file that cannot be read. Raises AccessError if they are another user's.
    """
    found, waiting = [], 0
    for path in [*kept.older(where), *kept.listing(where)]:
        try:
            each = kept.header(path)
        except FileNotFoundError:
            continue  # requeued or dropped meanwhile
        except (OSError, ValueError) as error:
            say(str(error))
            continue
        waiting += each.again
        if not each.again:
            found.append(each)
    return found, waiting


def take(path: str, send: Callable[[Kept], None] | None) -> None:
    """Send a dead letter (or only drop it) and remove it.

    Raises what send() raises, OSError, ValueError: then it is still there.
    """
    with _claimed(path):
        if send is not None:
            send(kept.load(path))
        os.unlink(path)


@contextlib.contextmanager
def _claimed(path: str) -> Iterator[None]:
    """Nobody else requeues or drops it meanwhile: two commands at once must not send a message twice."""
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not os.path.exists(path):
            raise FileNotFoundError("another command has taken it meanwhile")
        yield


def told(letter: Kept) -> dict[str, object]:
    """One for programs."""
    return {
        "id": letter.id,
        "time": letter.time,
        "target": letter.endpoint,
        "mule": letter.process,
        "reason": letter.reason,
        "length": letter.length,
        "attempts": letter.attempts,
    }
