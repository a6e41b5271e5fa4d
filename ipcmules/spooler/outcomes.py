"""How tasks ended, for those who ask: a file for each in results/, for some time (docs/formats-spooler.md).

It is written whole before the task's file goes, so that whoever sees no task any more sees how it ended; and
where both are there (its process was killed in between) the task is over all the same. What dead tasks say
stands in dead/. Knows files; runs nothing.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from ipcmules.errors import AccessError, LimitError
from ipcmules.kernel import exhaustion, files, ownership
from ipcmules.kernel.exhaustion import importing
from ipcmules.kernel.interruption import opened
from ipcmules.kernel.printable import worded
from ipcmules.spooler import names
from ipcmules.spooler.directory import problem_below

SUCCEEDED, CANCELLED, EXPIRED = "succeeded", "cancelled", "expired"
STATES = (SUCCEEDED, CANCELLED, EXPIRED)

#: Seconds for which it is remembered that a task was cancelled, where its function says nothing.
KEEP = 3600.0
#: Bytes of a value; larger ones are not kept.
LONGEST = 1 << 20
#: Bytes of a reason; more would be nobody's to read.
_LONGEST_REASON = 4096
_JSON, _PICKLE, _NONE = "json", "pickle", ""
#: So many bytes may be written under the name of the file: it is one page, which readers see empty or whole.
_AT_ONCE = 4096
#: So long after it was opened it cannot have been swept as one that is over (outcome_sweep.py), seconds.
_PROMPT = 1.0
_NEW = (os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,)
_MODE = (0o600,)
#: What JSON gives back as it was. Others, and what is within others, are pickled.
_PLAIN = (str, int, float, bool, type(None))


class End(NamedTuple):
    """How a task ended."""

    state: str  #: one of STATES
    time: float  #: when, in seconds since 1970
    attempts: int = 0  #: that failed before
    function: str = ""
    reason: str = ""  #: why it was cancelled, or why its value is not here
    encoding: str = _NONE  #: of the value: json, pickle, or none kept
    progress: dict[str, Any] | None = None  #: the last it said
    value: bytes = b""


def pack(value: Any) -> tuple[str, bytes, str]:
    """A function's return value as bytes: their encoding, they, and why they are not kept, "" if they are."""
    try:
        encoding, data = (_JSON, _as_json(value)) if _is_plain(value) else (_PICKLE, _pickled(value))
    except Exception as error:  # whatever a value's own pickling raises
        return _NONE, b"", f"what it returned cannot be pickled: {worded(error)}"
    if len(data) > LONGEST:
        return _NONE, b"", f"what it returned takes {len(data)} bytes, and at most {LONGEST} are kept"
    return encoding, data, ""


def _is_plain(value: Any, depth: int = 0) -> bool:
    kind = type(value)
    if kind in _PLAIN:
        return kind is not int or abs(value) < 1 << 64  # Python limits the digits of longer ones
    if depth > 50:
        return False
    if kind is list:
        return all(_is_plain(each, depth + 1) for each in value)
    return kind is dict and all(
        type(key) is str and _is_plain(each, depth + 1) for key, each in value.items()
    )


def _as_json(value: Any) -> bytes:
    with importing:
        import json

    return json.dumps(value).encode()


def _pickled(value: Any) -> bytes:
    with importing:
        import pickle

    return pickle.dumps(value)


def unpack(end: End) -> Any:
    """The value that a task returned. Raises what loading it raises."""
    with importing:
        import json
        import pickle

    if end.encoding == _PICKLE:
        return pickle.loads(end.value)
    return json.loads(end.value)


def write(directory: str, name: str, end: End, keep: float) -> None:
    """Say for `keep` seconds how a task ended. Raises OSError; then nothing is said of it.

    name: the task's, relative to the directory.
    """
    data, until = packed(end), end.time + keep
    result = names.result_of(name)
    try:
        if put_at_once(f"{directory}/{result}", data, until):
            return
    except FileNotFoundError:
        pass
    put(directory, result, data, until)


def packed(end: End) -> bytes:
    """What a file in results/ has; the reverse of parsed()."""
    with importing:
        import json

    about = end._asdict()
    del about["value"]
    about["reason"] = end.reason[:_LONGEST_REASON]
    return json.dumps(about).encode() + b"\n" + end.value


def put_at_once(path: str, data: bytes, until: float, open_: Callable[..., int] = os.open) -> bool:
    """Write a new result under its name, as put() does, for half of that. False where it is not for that.

    Raises OSError; then it is not there. It counts once its time is in the future: one whose writer was
    killed before that is over, and swept as such.
    """
    if len(data) > _AT_ONCE:
        return False
    began = time.time()
    found: list[int] = []  # see kernel/interruption.py
    whole = False
    try:
        found.extend(map(open_, (path,), _NEW, _MODE))
        if os.write(found[0], data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.utime(found[0], (until, until))
        whole = 0 <= time.time() - began < _PROMPT or os.fstat(found[0]).st_nlink > 0
    except FileExistsError:
        pass
    except BaseException:
        if found:
            _remove_new(path, found[0])
        raise
    finally:
        for each in found:
            os.close(each)
    return whole


def _remove_new(path: str, file: int) -> None:
    """Remove a result that was not written: it has no time that counts, so it does not matter whether."""
    try:
        os.utime(file, (0, 0))
        os.unlink(path)
    except OSError:
        pass


def put(directory: str, name: str, data: bytes, until: float) -> None:
    """Write a file in results/, or replace it, in one step; its modification time says until when it counts.

    Raises OSError.
    """
    where = f"{directory}/{names.RESULTS}"
    temporary = f"{where}/{names.new_name(names.WRITING)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        try:
            file = opened(temporary, flags)
        except FileNotFoundError:
            os.makedirs(where, mode=0o700, exist_ok=True)
            file = opened(temporary, flags)
        with file:
            if os.write(file.fileno(), data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.utime(file.fileno(), (until, until))
        os.rename(temporary, f"{directory}/{name}")
    except BaseException:
        files.remove(temporary)
        raise


def is_over(directory: str, name: str) -> bool:
    """True if it is said how a task ended: it must not run again."""
    try:
        status = os.lstat(f"{directory}/{names.result_of(name)}")
    except OSError:
        return False
    return status.st_size > 0 and status.st_mtime > time.time()


def has_succeeded(directory: str, name: str) -> bool:
    """True if it is said that a task succeeded."""
    try:
        end = read(directory, name)
    except (AccessError, LimitError):
        return False
    return end is not None and end.state == SUCCEEDED


def read(directory: str, name: str) -> End | None:
    """How a task ended; None where nothing is said, any more, or it makes no sense.

    Raises AccessError where others can write to the file, or to its directory: a value may be unpickled.
    LimitError where the system refuses to open it.
    """
    data = take(directory, names.result_of(name))
    return None if data is None else parsed(data)


def parsed(data: bytes) -> End | None:
    """What a file in results/ says; None where it makes no sense."""
    with importing:
        import json

    head, _line, value = data.partition(b"\n")
    try:
        about = json.loads(head)
        progress = about["progress"]
        end = End(
            str(about["state"]),
            float(about["time"]),
            int(about["attempts"]),
            str(about["function"]),
            str(about["reason"]),
            str(about["encoding"]),
            progress if isinstance(progress, dict) else None,
            value,
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    return end if end.state in STATES else None


def progress_of(directory: str, name: str) -> dict[str, Any] | None:
    """How far a task that is not over said it is: done, total, note, time; None if it said nothing, or where
    others can write to what says so."""
    with importing:
        import json

    try:
        data = take(directory, names.progress_of(name))
        said = None if data is None else json.loads(data)
    except (AccessError, LimitError, ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) and said.keys() == {"done", "total", "note", "time"} else None


def take(directory: str, name: str) -> bytes | None:
    """A file in results/, None where there is none or its time is over. Raises AccessError as read(), and
    LimitError where the system refuses to open it, as without a descriptor: that says nothing of it."""
    path = f"{directory}/{name}"
    try:
        file = opened(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if exhaustion.refused(error):
            raise exhaustion.explain(error, "how a task ended cannot be read") from error
        return None
    with file:
        status = os.fstat(file.fileno())
        if status.st_mtime <= time.time():
            return None
        problem = problem_below(directory, names.RESULTS) or ownership.problem_of(path, status)
        if problem:
            raise AccessError(f"the result of a task may be unpickled, and {problem}")
        return os.read(file.fileno(), status.st_size)


def forget(directory: str, name: str) -> None:
    """Remove a file in results/, if it is there."""
    try:
        os.unlink(f"{directory}/{name}")
    except OSError:
        pass
