"""Where a bus lives: its directories, files and the names of its kernel objects.

May know the environment and the file system; nothing of configurations, queues or signals.
The rules are those of docs/reference.md, "Names and places".
"""

from __future__ import annotations

import os
import re
import stat
from typing import NamedTuple

from ipcmules.errors import AccessError, ConfigError

#: Bus and farm names. No slash, no leading dot: a name can never leave its directory.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")

#: The directory of this package; its parent is what must be importable in the processes we start.
PACKAGE = os.path.dirname(os.path.abspath(__file__))

#: The directory whose modules stand in for uWSGI's (--compat).
COMPAT = os.path.join(PACKAGE, "compat", "site")

BUS_VARIABLE = "IPCMULES_BUS"
RUNTIME_VARIABLE = "IPCMULES_RUNTIME_DIR"
STATE_VARIABLE = "IPCMULES_STATE_DIR"


def check_name(name: str, what: str = "bus") -> str:
    """Return name, or raise ConfigError if it cannot name a bus or a farm."""
    if isinstance(name, str) and NAME.match(name):
        return name
    raise ConfigError(
        f"{what} name {name!r} is not allowed: use 1 to 64 letters, digits, '_', '.' or '-', "
        "beginning with a letter or a digit"
    )


def private_directory(path: str) -> str:
    """Create path with mode 0700 if it is missing; refuse one that others could write or own.

    Raises AccessError if it cannot be made, is a symbolic link, not a directory, another user's, or open to
    others.
    """
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        if not os.path.lexists(path):
            os.mkdir(path, 0o700)
    except FileExistsError:
        pass  # somebody else was faster, or what is above it is no directory: then lstat says so
    except OSError as error:
        raise _cannot_be_made(path, error) from error
    try:
        found = os.lstat(path)
    except OSError as error:
        raise _cannot_be_made(path, error) from error
    if not stat.S_ISDIR(found.st_mode):
        raise AccessError(f"{path} is not a directory (a symbolic link does not count): remove it")
    if found.st_uid != os.geteuid():
        raise AccessError(
            f"{path} belongs to uid {found.st_uid}, this process is uid {os.geteuid()}: "
            f"run as that user, or set {RUNTIME_VARIABLE} (or {STATE_VARIABLE}) to a directory of your own"
        )
    if found.st_mode & 0o077:
        raise AccessError(
            f"{path} is open to others (mode {stat.S_IMODE(found.st_mode):04o}): chmod 700 {path}"
        )
    return path


def _cannot_be_made(path: str, error: OSError) -> AccessError:
    return AccessError(
        f"the directory {path} cannot be made: {error.strerror}; set {RUNTIME_VARIABLE} "
        f"(or {STATE_VARIABLE}) to a directory that can"
    )


def denied(path: str, error: OSError) -> AccessError:
    """What to raise where a file of a bus cannot be opened: whose it is, or whose the directory above it."""
    for each in (path, os.path.dirname(path), os.path.dirname(os.path.dirname(path))):
        try:
            owner = os.lstat(each).st_uid
        except OSError:
            continue  # the directory above it says why
        if owner != os.geteuid():
            return AccessError(
                f"{each} belongs to uid {owner}, this process is uid {os.geteuid()}: run as that user, "
                f"or set {RUNTIME_VARIABLE} to a directory of your own"
            )
        break
    return AccessError(
        f"{path} cannot be opened: {error.strerror}; remove it, "
        f"or set {RUNTIME_VARIABLE} to a directory of your own"
    )


def check_state(where: Places) -> None:
    """Raise AccessError if the bus could keep nothing in its state directory. Creates nothing."""
    path = where.state
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    if not os.path.isdir(path) or not os.access(path, os.W_OK | os.X_OK):
        raise AccessError(
            f"nothing can be kept in the state directory {where.state}: {path} is no directory, or this "
            f"process may not write there; set {STATE_VARIABLE} to a directory of your own"
        )


def private_state(where: Places) -> str:
    """Make a bus's state directory if it is missing, and return it. Raises as private_directory()."""
    os.makedirs(os.path.dirname(where.state), mode=0o700, exist_ok=True)
    return private_directory(where.state)


def runtime_root() -> str:
    """The directory that holds one directory a running bus."""
    given = os.environ.get(RUNTIME_VARIABLE)
    if given:
        return os.path.abspath(given)
    session = os.environ.get("XDG_RUNTIME_DIR")
    if session:
        return os.path.join(session, "ipcmules")
    return f"/tmp/ipcmules-{os.geteuid()}"


def state_root() -> str:
    """The directory for what must outlive a bus, one directory a bus."""
    given = os.environ.get(STATE_VARIABLE)
    if given:
        return os.path.abspath(given)
    base = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(base, "ipcmules")


class Places(NamedTuple):
    """All the names one bus uses. Build it with `places(name)`."""

    bus: str
    runtime: str  #: <runtime root>/<bus>
    state: str  #: <state root>/<bus>
    kernel: str  #: prefix of its queues and segments, with the leading slash and a trailing dot

    @property
    def lock(self) -> str:
        """The file whose lock (flock) a living master holds: that lock is liveness, never a pid.

        It stands beside the bus's directory, so that removing the directory never removes a held lock.
        """
        return f"{self.runtime}.lock"

    @property
    def description(self) -> str:
        """The bus description (docs/formats.md), replaced by rename."""
        return os.path.join(self.runtime, "bus.json")

    @property
    def registry_lock(self) -> str:
        """Locked while the signal table is being written."""
        return os.path.join(self.runtime, "registry.lock")

    @property
    def notify(self) -> str:
        """The FIFO that wakes the master to look at the table."""
        return os.path.join(self.runtime, "master.fifo")

    @property
    def kept(self) -> str:
        """Messages that nobody could take, or that were left at a stop."""
        return os.path.join(self.state, "kept")

    def fifo(self, endpoint: str) -> str:
        """The wake-up FIFO of a signal endpoint, e.g. 'mule3', 'worker0', 'farm.mail'."""
        return os.path.join(self.runtime, f"signal.{endpoint}")

    @property
    def listener(self) -> str:
        """What the listener of --socket says of itself: JSON (listener/report.py)."""
        return os.path.join(self.runtime, "listener.json")

    def failure(self, process: str) -> str:
        """Where a process that fails to load leaves its traceback, e.g. 'mule3', 'template'."""
        return os.path.join(self.runtime, f"failed.{process}")

    def stack(self, process: str) -> str:
        """Where a process writes the Python stacks of its threads when the master asks for them."""
        return os.path.join(self.runtime, f"stack.{process}")

    def queue(self, endpoint: str) -> str:
        """The POSIX name of a message queue: 'pool', 'mule3', 'farm.mail'."""
        return f"{self.kernel}q.{endpoint}"

    @property
    def table(self) -> str:
        """The POSIX name of the shared table."""
        return f"{self.kernel}table"

    @property
    def inflight(self) -> str:
        """The POSIX name of the segment with the mules' in-flight slots."""
        return f"{self.kernel}inflight"

    @property
    def large_prefix(self) -> str:
        """The POSIX name prefix of large messages' segments."""
        return f"{self.kernel}m."


def places(bus: str) -> Places:
    """The places of a bus, by name, under the environment's directories. Creates nothing."""
    import hashlib  # 4 ms, and a process that is on no bus does not need it

    check_name(bus)
    root = os.path.realpath(runtime_root())
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:10]
    return Places(
        bus=bus,
        runtime=os.path.join(root, bus),
        state=os.path.join(state_root(), bus),
        kernel=f"/ipcmules.{os.geteuid()}.{digest}.{bus}.",
    )
