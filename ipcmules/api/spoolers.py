"""The flat functions that tell of the spoolers: spooler_jobs(), spooler_pids() and the rest, as in uWSGI's
module.

Knows membership, the table and, for tasks, the spooler's files; takes no task and no lock.
"""

from __future__ import annotations

import os
from typing import Any

from ipcmules.bus import table
from ipcmules.kernel.exhaustion import importing
from ipcmules.kernel.interruption import opened
from ipcmules.member import membership
from ipcmules.member.membership import Membership


def spoolers() -> tuple[str, ...]:
    """The real path of the directory of each spooler, spooler 1 first; empty on no bus."""
    member = membership.find()
    return member.description.config.spooler_directories if member is not None else ()


def spooler_dir() -> str | None:
    """In a spooler its directory, elsewhere the bus's first one; None if there is none. From uWSGI 2.1."""
    member = membership.find()
    if member is None:
        return None
    directories = member.description.config.spooler_directories
    if member.role == "spooler":
        return directories[member.number - 1]
    return directories[0] if directories else None


def spooler_pid(spooler: str | bytes | None = None) -> int:
    """The pid of the first spooler, or of the first of a directory; 0 if none runs. Raises UnknownTarget."""
    return next((pid for pid in spooler_pids(spooler) if pid), 0)


def spooler_pids(spooler: str | bytes | None = None) -> list[int]:
    """The pid of each spooler, spooler 1 first, or of those of a directory; 0 for one that does not run now.

    Raises UnknownTarget for a directory the bus does not have.
    """
    member = membership.find()
    if member is None:
        return []
    wanted = member.spools.resolve(spooler) if spooler is not None else None
    cells = member.table.cells
    return [
        int(cells[member.table.spooler(number) + table.R_PID])
        for number, directory in enumerate(member.description.config.spooler_directories, 1)
        if wanted in (None, directory)
    ]


def i_am_the_spooler() -> bool:
    """True in a spooler. uWSGI's gives None elsewhere."""
    member = membership.peek()
    return member is not None and member.role == "spooler"


def set_spooler_frequency(seconds: float) -> None:
    """Have all spool directories of the bus looked at that often (--spooler-frequency), until it is set
    again.

    Raises ValueError for what is no time above 0, NotAttached.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= 1e9:
        raise ValueError(f"set_spooler_frequency({seconds!r}): give seconds, more than 0")
    member = membership.current()
    member.table.cells[table.H_FREQUENCY] = int(seconds * 1e9)
    config = member.description.config
    for number in range(1, len(config.spooled) + 1):
        for _each in config.spoolers_of(number):  # who sleeps has the old one
            member.spools.nudge(number)


def spooler_jobs(spooler: str | bytes | None = None) -> list[str]:
    """The paths of the tasks in a spool directory, running and later ones too, in the order of enqueueing.

    spooler: as in spool(); the bus's first directory by default. Empty where the directory is gone. Raises
    UnknownTarget, NotAttached.
    """
    with importing:
        from ipcmules.spooler import scan

    directory = _directory(spooler)
    try:
        found = scan.scan(directory, False, limit=1 << 62)
    except OSError:
        return []
    return [f"{directory}/{name}" for name in (*found.due, *(name for _when, name in sorted(found.later)))]


def spooler_get_task(path: str | bytes) -> dict[str | bytes, bytes] | None:
    """A task as its function would get it, by the path of its file; None if there is none, or it makes no
    sense.

    Nothing is taken or locked: it may be run meanwhile. From uWSGI's spooler_get_task.
    """
    with importing:
        from ipcmules.spooler import codec

    name = os.fsdecode(path)
    try:
        data = _read(os.path.realpath(name))
        arguments, end = codec.unpack(data)
    except (OSError, codec.Malformed):
        return None
    env: dict[Any, bytes] = {"spooler_task_name": os.fsencode(os.path.basename(name)), **arguments}
    if data[end:]:
        env["body"] = data[end:]
    return env


def _read(path: str) -> bytes:
    with importing:
        from ipcmules.spooler import claim

    if claim.is_held(path):
        # To close any descriptor of a file drops this process's lock of it (fcntl(2)): take the one it has.
        return _read_by(_descriptor(path))
    with opened(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW) as file:
        return _read_by(file.fileno())


def _read_by(file: int) -> bytes:
    with importing:
        from ipcmules.spooler import codec

    codec.check_size(os.fstat(file).st_size)
    parts: list[bytes] = []
    while part := os.pread(file, 1 << 20, sum(map(len, parts))):
        parts.append(part)
    return b"".join(parts)


def _descriptor(path: str) -> int:
    """The descriptor this process has of a file. Raises FileNotFoundError."""
    for each in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{each}") == path:
                return int(each)
        except OSError:
            continue
    raise FileNotFoundError(path)


def _directory(spooler: str | bytes | None) -> str:
    member: Membership = membership.current()
    if spooler is None and member.role == "spooler":
        return member.description.config.spooler_directories[member.number - 1]
    return member.spools.resolve(spooler)
