"""Which buses there are: in a runtime directory, and in all that this user (root: everybody) can have.

Of one's own buses the state is what the bus says of itself. Those of others, which root sees, are looked at
from outside: nothing in their directories is believed but who holds the lock file. Knows places and liveness.
"""

from __future__ import annotations

import fcntl
import glob
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from ipcmules.bus.places import NAME, Places, places, runtime_root
from ipcmules.errors import IpcMulesError
from ipcmules.snapshot import take

_LOCK = ".lock"
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True)
class Found:
    """A bus. state: as in `ipcmules status`; of another user's 'running' or 'dead'. pid: 0 of a dead one."""

    bus: str
    state: str
    pid: int
    uid: int
    directory: str  #: the runtime directory in which it is


def everywhere() -> Iterator[Found]:
    """The buses in every runtime directory that is known, this process's own one first."""
    for root in _roots():
        yield from within(root)


def within(root: str) -> list[Found]:
    """The buses in one runtime directory, by name; none where it cannot be read or is a symbolic link."""
    try:
        owner = os.lstat(root)
        entries = os.listdir(root) if stat.S_ISDIR(owner.st_mode) else []
    except OSError:
        return []
    names = {each.removesuffix(_LOCK) for each in entries if NAME.match(each.removesuffix(_LOCK))}
    look = _own if owner.st_uid == os.geteuid() else _other
    found = [look(root, each, owner.st_uid) for each in sorted(names)]
    return [each for each in found if each is not None]


def neighbours(where: Places) -> str:
    """Where a bus was looked for in vain, and which there are, for people."""
    root = os.path.dirname(where.runtime)
    there = ", ".join(f"{each.bus} ({each.state})" for each in within(root))
    elsewhere = sum(each.directory != root for each in everywhere())
    text = f"looked in {root}, where there is {there or 'no bus'}"
    return f"{text}; 'ipcmules list' shows {elsewhere} elsewhere" if elsewhere else text


def _roots() -> list[str]:
    me = os.geteuid()
    given = [runtime_root(), *_session(), f"/run/user/{me}/ipcmules", f"/tmp/ipcmules-{me}", *_units(me)]
    # The directory that was asked for may be a link; what is only looked for by its name may not.
    found = [os.path.realpath(given[0]), *given[1:]]
    if me == 0:
        found += sorted((*glob.glob("/run/user/*/ipcmules"), *glob.glob("/tmp/ipcmules-*")))
    return list(dict.fromkeys(found))


def _session() -> list[str]:
    session = os.environ.get("XDG_RUNTIME_DIR")
    return [os.path.join(session, "ipcmules")] if session else []


def _units(user: int) -> list[str]:
    """Those of units: each has a directory below /run, of its user (RuntimeDirectory=). Root sees all."""
    return [each for each in sorted(glob.glob("/run/*/ipcmules")) if user in (0, _owner(each))]


def _owner(path: str) -> int:
    try:
        return os.lstat(path).st_uid
    except OSError:
        return -1


def _own(root: str, bus: str, uid: int) -> Found | None:
    try:
        seen = take(places(bus, root), details=False)
    except (IpcMulesError, OSError):
        return _other(root, bus, uid)  # another version's: only that it runs can be said
    if seen.state == "absent":
        return None
    return Found(bus, seen.state, 0 if seen.state == "dead" else seen.master.pid, uid, root)


def _other(root: str, bus: str, uid: int) -> Found | None:
    pid = _holder(os.path.join(root, f"{bus}{_LOCK}"))
    if pid < 0 and not os.path.isdir(os.path.join(root, bus)):
        return None
    return Found(bus, "dead" if pid < 0 else "running", max(pid, 0), uid, root)


def _holder(lock: str) -> int:
    """The pid in a lock file that is held, 0 if it has none; -1 if nobody holds it."""
    try:
        file = os.open(lock, _OPEN)
    except OSError:
        return -1
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return -1
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.read(file, 32).strip()
            return int(text) if text.isdigit() else 0
        return -1
    finally:
        os.close(file)
