"""Dead letters and messages that wait to be queued again: one file a message, in the state directory.

A *dead letter* stays until somebody requeues or drops it. A message with `again` set was left by the bus
itself (at a stop, or of a mule that died): the master queues it again. The format is in
docs/formats-messages.md: a line of JSON, then the message. Where the state directory takes nothing they are
in shared memory meanwhile (spill.py).
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ipcmules.bus import log
from ipcmules.bus.places import Places, private_directory, private_state
from ipcmules.cluster import letters
from ipcmules.errors import AccessError

# ownership is what private_directory() imports: not only then, when there may be no descriptor to read it by.
from ipcmules.kernel import exhaustion, files, ownership  # noqa: F401
from ipcmules.messages import spill

_SUFFIX = ".msg"
#: So long a process that has no descriptor left waits for one, seconds, and so often it looks: what it is to
#: keep would be lost otherwise.
PATIENCE, _AGAIN = 5.0, 0.05
_numbers = itertools.count(1)
#: True once it was said that the state directory takes nothing, until it does again.
_complained = False


@dataclass(frozen=True)
class Kept:
    """One kept message."""

    path: str
    endpoint: str  #: where it was sent: 'pool', 'mule3', 'farm.mail'
    reason: str
    process: str  #: the process that had it, if one had: 'mule3'
    time: float  #: seconds since the epoch
    data: bytes  #: empty from header()
    length: int = 0
    attempts: int = 0  #: how many processes have failed with it in hand
    priority: int = 0
    again: bool = False  #: the master queues it again by itself

    @property
    def id(self) -> str:
        """The name under which commands know it."""
        return _id(self.path)


def keep(
    where: Places,
    data: bytes,
    endpoint: str,
    reason: str,
    process: str = "",
    *,
    attempts: int = 0,
    patience: float = PATIENCE,
) -> str:
    """Make a message a dead letter and log that, with its length. Returns the file's path.

    The file appears whole or not at all. Raises OSError if neither the state directory nor shared memory can
    take it.
    """
    path = store(where, data, endpoint, reason, process, attempts=attempts, patience=patience)
    log.event(
        "warning", f"a message of {len(data)} bytes to {endpoint} was not taken: {reason}; kept as {path}"
    )
    return path


def store(
    where: Places,
    data: bytes,
    endpoint: str,
    reason: str,
    process: str = "",
    *,
    attempts: int = 0,
    priority: int = 0,
    again: bool = False,
    place: int | None = None,
    patience: float = PATIENCE,
) -> str:
    """As keep(), without the line in the log: for many at once, of which the caller says one word.

    place: what its name sorts by, nanoseconds since the epoch; the time now by default. patience: how many
    seconds it waits for a descriptor where this process has none left; the master waits otherwise.
    A letter of the cluster goes back to it instead.
    """
    if data[: letters.SIZE] == letters.PREFIX and (letter := letters.opened(where, data)) is not None:
        from ipcmules.cluster import outbox

        return outbox.hand_back(where, letter)  # another host may take it
    now = time.time_ns()
    name = f"{now if place is None else place:020d}-{os.getpid()}-{next(_numbers):06d}"
    header = {
        "endpoint": endpoint,
        "reason": reason,
        "process": process,
        "time": now / 1e9,
        "length": len(data),
        "attempts": attempts,
        "priority": priority,
        "again": again,
    }
    line = json.dumps(header).encode() + b"\n"
    until = time.monotonic() + patience
    while True:
        try:
            return _write(where, name, line, data)
        except OSError as error:
            try:
                path = spill.store(where, name + _SUFFIX, line + data)
            except OSError:
                if not exhaustion.no_descriptor(error) or time.monotonic() >= until:
                    raise error from None
            else:
                _complain(where, error)
                return path
        time.sleep(_AGAIN)


def _write(where: Places, name: str, line: bytes, data: bytes) -> str:
    private_state(where)
    directory = private_directory(where.kept)
    path = os.path.join(directory, name + _SUFFIX)
    files.replace(path, line, data, temporary=os.path.join(directory, f".{name}"))
    return path


def _complain(where: Places, error: OSError) -> None:
    """Say once that messages are in shared memory."""
    global _complained
    if not _complained:
        _complained = True
        log.event(
            "error",
            f"nothing can be kept in {where.kept} ({error.strerror or error}): messages are kept in shared "
            "memory until it can, which a restart of the machine empties; make room there",
        )


def has_spilled() -> bool:
    """True if this process has kept something in shared memory, and not moved it since."""
    return _complained


def settle(where: Places, everything: bool = True) -> int:
    """Move what is in shared memory to the state directory; how many stay, as that takes nothing yet.

    Only with the bus's lock held. everything: else dead letters alone, as what is to be queued again may be
    in the hands of the feeder.
    """
    global _complained
    left = 0
    for path in sorted(spill.listing(where)):
        try:
            found = load(path)
            if not everything and found.again:
                continue
            with open(path, "rb") as file:
                line = file.readline()
            # Under the same name: who is killed before the next step finds two of it, and listing() one.
            _write(where, found.id, line, found.data)
            os.unlink(path)
            _complained = False
        except (OSError, ValueError):
            left += 1
    return left


def sweep(where: Places) -> None:
    """Remove what processes were writing when they were killed: messages that store() never returned for."""
    spill.sweep(where)
    try:
        names = os.listdir(where.kept)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    for name in names:
        parts = name.split("-")
        if name[0] == "." and len(parts) == 3 and not os.path.exists(f"/proc/{parts[1]}"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(where.kept, name))


def place_of(path: str) -> int:
    """What a kept message's name sorts by (see store())."""
    return int(_id(path).partition("-")[0])


def name_of(path: str) -> str:
    """The name of a kept message's file, wherever it is for now."""
    return f"{_id(path)}{_SUFFIX}"


def _id(path: str) -> str:
    # In shared memory the bus's name stands before it.
    return os.path.basename(path)[: -len(_SUFFIX)].rpartition(".")[2]


def listing(where: Places) -> list[str]:
    """Paths of the bus's kept messages, oldest first. Raises AccessError if they are another user's."""
    spilled = spill.listing(where)
    try:
        names = os.listdir(where.kept)
    except (FileNotFoundError, NotADirectoryError):  # store() says what is in the way
        names = []
    except PermissionError as error:
        raise _not_ours(where) from error
    found = [os.path.join(where.kept, name) for name in names if _is_message(name)]
    found += [path for path in spilled if f"{_id(path)}{_SUFFIX}" not in set(names)]
    return sorted(found, key=os.path.basename) if not spilled else sorted(found, key=_id)


def batches(where: Places, most: int) -> Iterator[list[str]]:
    """Names of the bus's kept messages, at most so many at once, in no order. Raises as listing()."""
    try:
        with os.scandir(where.kept) as entries:
            while batch := list(itertools.islice(entries, most)):
                yield [each.name for each in batch if _is_message(each.name)]
    except (FileNotFoundError, NotADirectoryError):
        pass
    except PermissionError as error:
        raise _not_ours(where) from error
    yield spill.names(where)


def path_of(where: Places, name: str) -> str:
    """Where a kept message of that name is: in the state directory, or in shared memory for now."""
    path = os.path.join(where.kept, name)
    return path if os.path.exists(path) else spill.path_of(where, name)


def _is_message(name: str) -> bool:
    return name.endswith(_SUFFIX) and name[0] != "."


def _not_ours(where: Places) -> AccessError:
    return AccessError(
        f"{where.kept} belongs to another user: set IPCMULES_STATE_DIR to a directory of your own"
    )


def older(where: Places) -> list[str]:
    """Paths of what an older version kept under a name without the digest, and no master has taken since."""
    directory = where.older(where.kept)
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return [os.path.join(directory, name) for name in sorted(names) if _is_message(name)]


def take_older(where: Places) -> int:
    """Make what an older version kept this bus's; how many messages that was. With the bus's lock held.

    Several runtime directories may have a bus of this name: each message is renamed, which one of them can.
    """
    count = 0
    for path in older(where):
        with contextlib.suppress(FileNotFoundError):
            private_state(where)
            os.rename(path, os.path.join(private_directory(where.kept), os.path.basename(path)))
            count += 1
    with contextlib.suppress(OSError):  # somebody is just writing into it, or it is not there
        os.rmdir(where.older(where.kept))
    return count


def load(path: str) -> Kept:
    """Read a kept message. Raises OSError if it cannot be read, ValueError if it is none."""
    return _read(path, content=True)


def header(path: str) -> Kept:
    """As load(), without reading the message: `data` is empty."""
    return _read(path, content=False)


def _read(path: str, content: bool) -> Kept:
    with open(path, "rb") as file:
        line = file.readline()
        values = json.loads(line)
        if not isinstance(values, dict) or not values.keys() >= {"endpoint", "reason", "time", "length"}:
            raise ValueError(f"{path} does not begin with a kept message's header")
        length = os.fstat(file.fileno()).st_size - len(line)
        if length != values["length"]:
            raise ValueError(f"{path} has {length} bytes of {values['length']}: it is no whole message")
        data = file.read() if content else b""
    return Kept(
        path=path,
        endpoint=str(values["endpoint"]),
        reason=str(values["reason"]),
        process=str(values.get("process", "")),
        time=float(values["time"]),
        data=data,
        length=length,
        attempts=int(values.get("attempts", 0)),
        priority=int(values.get("priority", 0)),
        again=bool(values.get("again", False)),
    )
