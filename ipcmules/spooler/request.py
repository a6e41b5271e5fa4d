"""What a caller of spool() gives, checked and in the form in which it is written.

Knows the keys with a meaning: spooler, at, priority, body. Nothing of files or of the bus.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from ipcmules.errors import SpoolError
from ipcmules.spooler import codec, names
from ipcmules.spooler.names import SPECIAL

#: The year 10000: what comes later is a time in milliseconds, not a plan.
_LATEST = 253_402_300_800
#: Directories below a spool directory that priorities make have names of at most so many digits.
_LONGEST_PRIORITY = 18


class Request(NamedTuple):
    """A task to be written."""

    head: bytes  #: header and arguments, packed
    body: bytes | memoryview = b""
    at: int = 0  #: nanoseconds since 1970, 0 for now
    priority: str = ""
    spooler: str = ""  #: the directory as the caller names it, "" for the default


#: Request(...) in half the time.
_new = tuple.__new__


def read(arguments: Mapping[Any, Any]) -> Request:
    """Read what a caller gives; the mapping itself stays as it is.

    Arguments with a meaning stay among the task's arguments, as in uWSGI; body does not. None for one of
    them is as if it was not given. Raises SpoolError.
    """
    if SPECIAL.isdisjoint(arguments):
        return _new(Request, (codec.pack(arguments), b"", 0, "", ""))
    rest = dict(arguments)
    body = _take(rest, "body")
    at = _take(rest, "at")
    priority = _take(rest, "priority")
    spooler = _take(rest, "spooler")
    due, directory, level = 0, "", ""
    if at is not None:
        due, rest["at"] = _due(at)
    if priority is not None:
        rest["priority"] = level = _priority(priority)
    if spooler is not None:
        directory = path(spooler)
        rest["spooler"] = directory.encode("utf-8", "surrogateescape")
    data: bytes | memoryview = b"" if body is None else _body(body)
    if len(data) > codec.LARGEST:
        raise SpoolError(
            f"spool(): the body has {len(data)} bytes, at most {codec.LARGEST} are taken: put it into a "
            "file, and its path into the task"
        )
    return Request(codec.pack(rest), data, due, level, directory)


def _take(arguments: dict[Any, Any], key: str) -> Any:
    as_text = arguments.pop(key, None)
    as_bytes = arguments.pop(key.encode(), None)
    if as_text is not None and as_bytes is not None:
        raise SpoolError(f"spool(): {key!r} is given twice, as str and as bytes: give one")
    return as_bytes if as_text is None else as_text


def _body(body: Any) -> bytes | memoryview:
    if isinstance(body, (bytearray, memoryview)):
        return memoryview(body).cast("B")
    return codec.as_bytes(body, "body")


def _due(at: Any) -> tuple[int, str]:
    """When a task is due: in nanoseconds, 0 for at once, and as text in seconds."""
    seconds = _seconds(at)
    if not 0 <= seconds < _LATEST:  # also what is not a number
        raise SpoolError(
            f"spool(): at={at!r} is not a time: give seconds since 1970 (time.time() + 60), a datetime, or a "
            "timedelta from now"
        )
    whole = int(seconds)
    text = str(whole) if whole == seconds else f"{seconds:.6f}"
    return int(seconds * 1_000_000) * 1000, text


def _seconds(at: Any) -> float:
    if isinstance(at, (int, float)) and not isinstance(at, bool):
        return at
    if isinstance(at, (str, bytes)):
        try:
            return float(at)
        except ValueError:
            return -1.0
    # datetime and timedelta, without importing them: whoever passes one has.
    try:
        if hasattr(at, "timestamp"):
            return float(at.timestamp())
        if hasattr(at, "total_seconds"):
            return time.time() + float(at.total_seconds())
    except (TypeError, ValueError, OverflowError, OSError):
        pass
    return -1.0


def _priority(priority: Any) -> str:
    text = path(priority) if isinstance(priority, (str, bytes)) else str(priority)
    if names.is_priority(text) and len(text) <= _LONGEST_PRIORITY:
        return text
    raise SpoolError(
        f"spool(): priority={priority!r} is not a number: give 0 or more, in digits; lower ones come first"
    )


def path(value: Any) -> str:
    """What names a directory, as str. Raises SpoolError for what does not."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, str):
        return value
    if hasattr(value, "__fspath__"):
        return path(value.__fspath__())
    raise SpoolError(f"spool(): spooler={value!r} is not a directory: give its path as str or bytes")
