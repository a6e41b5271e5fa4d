"""How often a task failed, when it runs again, and when it is given up.

What is known of a task's failures stands in a JSON file beside it, which is written only when it fails; a
task that has one has the owner's execute permission (mode 0700), which nobody minds and which costs the
spooler nothing to see. Where it cannot be written (a full disk) this process remembers it, so that the count
grows all the same. Knows files, not locks.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from ipcmules.kernel import files
from ipcmules.kernel.exhaustion import importing
from ipcmules.spooler import names

#: The mode of a task that has a record.
MARKED = 0o700
#: The file's size is bounded: of a traceback the end counts.
_LONGEST = 65536


class Policy(NamedTuple):
    """When a failing task runs again."""

    max_attempts: int = 25  #: after so many it goes to dead/; 0 for never
    backoff: float = 2.0  #: seconds to wait after the first failure; after each further one twice as long
    max_backoff: float = 3600.0  #: seconds; no wait is longer
    jitter: bool = False  #: waits are random, from half of that to the whole

    def wait(self, count: int) -> float:
        """Seconds to wait after the count-th failure."""
        try:
            whole = min(self.max_backoff, self.backoff * 2.0 ** (count - 1))
        except OverflowError:
            whole = self.max_backoff
        return whole * _random_half() if self.jitter else whole

    def exhausted(self, attempts: int) -> bool:
        """True if a task that failed so often is to be given up."""
        return 0 < self.max_attempts <= attempts


def _random_half() -> float:
    with importing:
        import random

    return random.uniform(0.5, 1.0)


DEFAULT = Policy()


class Record(NamedTuple):
    """What is known of a task's failures."""

    attempts: int = 0  #: exceptions, harakiri and deaths of the process
    returned: int = 0  #: how often the function returned SPOOL_RETRY
    time: float = 0.0  #: of the last of both, in seconds since 1970
    wait: float = 0.0  #: seconds after it in which the task does not run
    reason: str = ""
    traceback: str = ""


NONE = Record()

#: Records that could not be written, by the task's path.
_unwritten: dict[str, Record] = {}
_MOST_UNWRITTEN = 10_000


def load(path: str) -> Record:
    """Read the record of the task at path; an empty one where there is none, or it cannot be read.

    What could not be written counts where it is newer.
    """
    written, kept = _read(path), _unwritten.get(path)
    return kept if kept is not None and kept.attempts >= written.attempts else written


def _read(path: str) -> Record:
    with importing:
        import json

    try:
        with open(names.attempts_of(path), encoding="utf-8", errors="replace") as file:
            data = json.load(file)
        return Record(
            int(data["attempts"]),
            int(data["returned"]),
            float(data["time"]),
            float(data["wait"]),
            str(data["reason"]),
            str(data["traceback"]),
        )
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return NONE


def save(path: str, record: Record) -> None:
    """Write the record of the task at path, whole or not at all.

    Raises OSError; then load() tells it in this process all the same.
    """
    with importing:
        import json

    kept = record._replace(reason=record.reason[-_LONGEST:], traceback=record.traceback[-_LONGEST:])
    try:
        replace(names.attempts_of(path), json.dumps(kept._asdict()).encode())
    except OSError:
        if len(_unwritten) < _MOST_UNWRITTEN or path in _unwritten:
            _unwritten[path] = kept
        raise
    _unwritten.pop(path, None)


def is_unwritten(path: str) -> bool:
    """True if the last record of the task at path could not be written."""
    return path in _unwritten


def forget(path: str) -> None:
    """Forget a record that could not be written: the task begins anew, or is gone."""
    _unwritten.pop(path, None)


def remove(path: str) -> None:
    """Remove the record of the task at path, if there is one."""
    forget(path)
    try:
        os.unlink(names.attempts_of(path))
    except OSError:
        pass  # nothing depends on it; what stays is swept


def replace(path: str, data: bytes) -> None:
    """Write a file of ours by rename. Raises OSError; then the old one is still there and no other."""
    files.replace(path, data, temporary=os.path.join(os.path.dirname(path), names.new_name(names.WRITING)))
