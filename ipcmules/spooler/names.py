"""The names of files in a spool directory: which are tasks, in which order, and which are ours.

    uwsgi_spoolfile_on_HOST_PID_COUNTER_RANDOM_SECONDS_MICROSECONDS   a task, as uWSGI names it
    ipcmules_attempts_on_...                                          what is known of a task's failures
    ipcmules_hand_on_HOST_PID_RANDOM                                  what a spooler is running
    ipcmules_writing_on_HOST_PID_COUNTER_RANDOM_SECONDS_MICROSECONDS  a task that is being written
    dead/                                                             tasks that were given up
    dead/ipcmules_reason_on_...                                       why the task beside it was given up
    NUMBER/                                                           tasks with a priority

uWSGI runs whatever begins with the first prefix, so nothing else may. A *name* is relative to the
spool directory: 'uwsgi_spoolfile_on_...' or 'NUMBER/uwsgi_spoolfile_on_...'. Pure but for the clock.
"""

from __future__ import annotations

import itertools
import os
import re
import time

TASK = "uwsgi_spoolfile_on_"
ATTEMPTS = "ipcmules_attempts_on_"
HAND = "ipcmules_hand_on_"
WRITING = "ipcmules_writing_on_"
REASON = "ipcmules_reason_on_"
#: What all files of ours begin with that are no tasks.
OURS = "ipcmules_"
DEAD = "dead"
#: Keys of a task that say how to enqueue it, as str and as bytes.
SPECIAL = frozenset({"spooler", b"spooler", "at", b"at", "priority", b"priority", "body", b"body"})

_counter = itertools.count(1)
#: 'HOST_PID_' and '_RANDOM_' of this process; made at the first use, forgotten in a forked child.
_parts: tuple[str, str] | None = None


def new_name(prefix: str = TASK) -> str:
    """A name that no other file has: this host, process, counter, a random number, and the time.

    The clock is the wall clock: names order tasks over reboots and processes.
    """
    first, random = _parts or _make_parts()
    now = time.time_ns() // 1000
    return f"{prefix}{first}{next(_counter)}{random}{now // 1_000_000}_{now % 1_000_000}"


def process_name(prefix: str) -> str:
    """A name of one process: prefix, host, pid, and a random number."""
    first, _random = _parts or _make_parts()
    return f"{prefix}{first}{int.from_bytes(os.urandom(4), 'little')}"


def is_task(name: str) -> bool:
    """True for what uWSGI would run: the last part of the name begins with its prefix."""
    return name.startswith(TASK, name.rfind("/") + 1)


def is_priority(name: str) -> bool:
    """True for the name of a subdirectory of tasks with a priority: ASCII digits."""
    return name.isascii() and name.isdigit()


def fifo_key(name: str) -> int | None:
    """When a task was enqueued, in microseconds since 1970; None where its name does not say.

    A name from elsewhere (dropped in by hand) says nothing: take the file's time.
    """
    try:
        _rest, seconds, microseconds = name.rsplit("_", 2)
        return int(seconds) * 1_000_000 + int(microseconds)
    except ValueError:
        return None


def attempts_of(name: str) -> str:
    """The name of the file that tells of a task's failures; it stands beside the task."""
    return _beside(name, TASK, ATTEMPTS)


def reason_of(name: str) -> str:
    """The name of the file that says why a task in dead/ was given up; it stands beside the task."""
    return _beside(name, TASK, REASON)


def task_of(ours: str) -> str:
    """The task that an attempts or reason file belongs to; the reverse of both."""
    kind = ATTEMPTS if ours.startswith(ATTEMPTS, ours.rfind("/") + 1) else REASON
    return _beside(ours, kind, TASK)


def _beside(name: str, old: str, new: str) -> str:
    at = name.rfind("/") + 1
    return f"{name[:at]}{new}{name[at + len(old) :]}"


_digits = re.compile(rb"[0-9]+")


def version_key(name: str) -> bytes:
    """A key that sorts as glibc's versionsort does (strverscmp(3)), which is uWSGI's --spooler-ordered.

    Runs of digits compare as numbers: '1' and the number of digits stand before them. Runs that begin
    with zeros compare as fractions and before all others: '0', fewer zeros later, then the rest.
    """
    return _digits.sub(_digits_key, os.fsencode(name))


def _digits_key(run: re.Match[bytes]) -> bytes:
    digits = run[0]
    if digits[0] != 0x30:
        # The length as two bytes: a name has at most 255 bytes, and one byte is all that is needed.
        return b"1" + bytes((len(digits),)) + digits
    rest = digits.lstrip(b"0")
    # Only zeros come after zeros with something behind them: ':' follows '9'.
    return b"0" + bytes((255 - (len(digits) - len(rest)),)) + (rest or b":")


def _make_parts() -> tuple[str, str]:
    global _parts
    host = os.uname().nodename.replace("/", "-")
    _parts = f"{host}_{os.getpid()}_", f"_{int.from_bytes(os.urandom(4), 'little') >> 1}_"
    return _parts


def _after_fork() -> None:
    global _parts
    _parts = None


os.register_at_fork(after_in_child=_after_fork)
