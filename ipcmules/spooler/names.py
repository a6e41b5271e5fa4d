"""The names of files in a spool directory: which are tasks, in which order, and which are ours.

    uwsgi_spoolfile_on_HOST_PID_COUNTER_RANDOM_SECONDS_MICROSECONDS   a task, as uWSGI names it
    ipcmules_attempts_on_...                                          what is known of a task's failures
    ipcmules_hand_on_HOST_PID_RANDOM                                  what a spooler is running
    ipcmules_writing_on_HOST_PID_COUNTER_RANDOM_SECONDS_MICROSECONDS  a task that is being written
    ipcmules_cancel_on_...                                            the task beside it is to be cancelled
    dead/                                                             tasks that were given up
    dead/ipcmules_reason_on_...                                       why the task beside it was given up
    results/ipcmules_result_on_...                                    how a task ended, and what it returned
    results/ipcmules_progress_on_...                                  how far a task says it is
    results/ipcmules_history_on_...                                   what became of a task of a web framework
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
CANCEL = "ipcmules_cancel_on_"
RESULT = "ipcmules_result_on_"
PROGRESS = "ipcmules_progress_on_"
HISTORY = "ipcmules_history_on_"
#: What all files of ours begin with that are no tasks.
OURS = "ipcmules_"
DEAD = "dead"
RESULTS = "results"
#: Numbered directories within numbered directories, as uWSGI goes through them; there is no end otherwise.
DEEPEST = 8
#: Keys of a task that say how to enqueue it, as str and as bytes.
SPECIAL = frozenset({"spooler", b"spooler", "at", b"at", "priority", b"priority", "body", b"body"})

_counter = itertools.count(1)
#: 'HOST_PID_' and '_RANDOM_' of this process; made at the first use, forgotten in a forked child.
_parts: tuple[str, str] | None = None


def new_name(prefix: str = TASK, mark: str = "") -> str:
    """A name that no other file has: this host, process, counter, a random number, and the time.

    mark: from mark_of(), to stand for the random number. The clock is the wall clock: names order tasks over
    reboots and processes.
    """
    first, random = _parts or _make_parts()
    random = mark or random
    now = time.time_ns() // 1000
    return f"{prefix}{first}{next(_counter)}{random}{now // 1_000_000}_{now % 1_000_000}"


def new_names(count: int, mark: str = "") -> list[str]:
    """As new_name(), for tasks that are written one after the other at once: a microsecond apart."""
    first, random = _parts or _make_parts()
    random, now = mark or random, time.time_ns() // 1000
    return [
        f"{TASK}{first}{number}{random}{at // 1_000_000}_{at % 1_000_000}"
        for number, at in zip(itertools.islice(_counter, count), range(now, now + count), strict=False)
    ]


def mark_of(generation: int) -> str:
    """What stands in names of tasks that processes of a bus have written and tell of themselves. generation:
    the bus's."""
    return f"_{generation & 0x7FFFFFFF}_"


def process_name(prefix: str) -> str:
    """A name of one process: prefix, host, pid, and a random number."""
    first, _random = _parts or _make_parts()
    return f"{prefix}{first}{int.from_bytes(os.urandom(4), 'little')}"


def is_task(name: str) -> bool:
    """True for what uWSGI would run: the last part of the name begins with its prefix."""
    return name.startswith(TASK, name.rfind("/") + 1)


def is_inside(name: str) -> bool:
    """True for a task's name that leads nowhere but into its directory: for names that stand in files."""
    return is_task(name) and ".." not in name.split("/") and not name.startswith("/")


def bare(name: str) -> str:
    """A task's name without its priority."""
    return name[name.rfind("/") + 1 :]


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


def cancel_of(name: str) -> str:
    """The name of the file that asks to cancel a task; it stands beside the task."""
    return _beside(name, TASK, CANCEL)


def result_of(name: str) -> str:
    """The name, relative to the spool directory, of the file that says how a task ended, whatever its
    priority."""
    return f"{RESULTS}/{RESULT}{name[name.rfind('/') + 1 + len(TASK) :]}"


def progress_of(name: str) -> str:
    """The name, relative to the spool directory, of the file that says how far a task is."""
    return f"{RESULTS}/{PROGRESS}{name[name.rfind('/') + 1 + len(TASK) :]}"


def history_of(name: str) -> str:
    """The name, relative to the spool directory, of the file that says what a framework knows of a task."""
    return f"{RESULTS}/{HISTORY}{name[name.rfind('/') + 1 + len(TASK) :]}"


def task_of(ours: str) -> str:
    """The task that an attempts, cancel or reason file stands beside; the reverse of these."""
    start = ours.rfind("/") + 1
    kind = next((each for each in (ATTEMPTS, CANCEL) if ours.startswith(each, start)), REASON)
    return _beside(ours, kind, TASK)


def id_of(name: str) -> str:
    """What a task is called by: its name without what all have; with a priority, that and a slash before."""
    start = name.rfind("/") + 1
    return f"{name[:start]}{name[start + len(TASK) :]}"


def _beside(name: str, old: str, new: str) -> str:
    at = name.rfind("/") + 1
    return f"{name[:at]}{new}{name[at + len(old) :]}"


#: Later times in names are all the same.
_LATEST = (1 << 63) - 1
_digits = re.compile(rb"[0-9]+")


def order_key(name: str) -> bytes:
    """A key that sorts as --spooler-ordered does: by priority, lowest first, then by time of enqueueing.

    Numbered directories come before the tasks beside them, in the order of their numbers (version_key); what
    has no time in its name before what has, by version.
    """
    *numbers, bare = name.split("/")
    when = min(max(fifo_key(bare) or 0, 0), _LATEST)
    below = b"".join(b"\0" + version_key(each) for each in numbers)
    return below + b"\1" + when.to_bytes(8, "big") + version_key(bare)


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
