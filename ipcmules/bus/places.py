"""Where a bus lives: its directories, files and the names of its kernel objects.

May know the environment and the file system; nothing of configurations, queues or signals.
The rules are those of docs/reference/places.md.
"""

from __future__ import annotations

import os
import re
import stat
from typing import NamedTuple

from ipcmules.errors import AccessError, ConfigError
from ipcmules.kernel.undisturbed import undisturbed

#: Bus and farm names. No slash, no leading dot: a name can never leave its directory.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")

#: The directory of this package; its parent is what must be importable in the processes we start.
PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

#: The directory whose modules stand in for uWSGI's (--compat).
COMPAT = os.path.join(PACKAGE, "compat", "site")

#: The directory whose sitecustomize.py tells the bus of the web servers that are known.
SERVERS = os.path.join(PACKAGE, "servers", "site")

BUS_VARIABLE = "IPCMULES_BUS"
RUNTIME_VARIABLE = "IPCMULES_RUNTIME_DIR"
STATE_VARIABLE = "IPCMULES_STATE_DIR"
#: Set to 0, processes join without serving signals, whatever they register.
SERVE_VARIABLE = "IPCMULES_SERVE"
#: The directories that systemd makes for a unit (systemd.exec(5)), with colons between several.
_UNIT_RUNTIME, _UNIT_STATE = "RUNTIME_DIRECTORY", "STATE_DIRECTORY"


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

    Raises AccessError if it cannot be made, is a symbolic link, not a directory, another user's, open to
    others, or where others could put another one in its place.
    """
    with undisturbed:
        from ipcmules.kernel import ownership

    problem = ownership.way_to(path)
    if problem:
        raise AccessError(
            f"the directory {path} is not safe: {problem}; or set {RUNTIME_VARIABLE} (or {STATE_VARIABLE}) "
            "to another one"
        )
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


def check_ours(where: Places, directory: str = "") -> None:
    """Raise AccessError if a bus is another user's: a bus is used, and looked at, by its own user alone.

    directory: where that is to be seen, its runtime directory if none is given.

    For root, too: names of kernel objects carry the user's id, and what others wrote is not to be believed.
    """
    path = directory or where.runtime
    if not os.path.lexists(path):
        path = os.path.dirname(path)
    while True:
        try:
            owner = os.lstat(path).st_uid
            break
        except PermissionError:
            path = os.path.dirname(path)  # of another user, who lets nobody look into it
        except OSError:
            return  # nothing is there
    if owner != os.geteuid():
        raise _not_ours(where, path, owner)


def _not_ours(where: Places, path: str, owner: int) -> AccessError:
    with undisturbed:
        from ipcmules.kernel.ownership import user_name

    name = user_name(owner)
    sudo = (
        f"sudo -u {'#' if name.isdigit() else ''}{name} {RUNTIME_VARIABLE}={os.path.dirname(where.runtime)}"
    )
    return AccessError(
        f"bus {where.bus!r} cannot be used or looked at from here: {path} belongs to uid {owner}, this "
        f"process is uid {os.geteuid()}: run as that user ({sudo} ipcmules ...), or set {RUNTIME_VARIABLE} "
        "to a directory of your own"
    )


def denied(where: Places, path: str, error: OSError) -> AccessError:
    """What to raise where a file of a bus cannot be opened: whose the bus is, else what is wrong."""
    try:
        check_ours(where)
    except AccessError as of_another_user:
        return of_another_user
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
    above = _of_unit(_UNIT_RUNTIME) or os.environ.get("XDG_RUNTIME_DIR")
    if above:
        return os.path.join(above, "ipcmules")
    return f"/tmp/ipcmules-{os.geteuid()}"


def state_root() -> str:
    """The directory for what must outlive a bus, one directory a bus."""
    given = os.environ.get(STATE_VARIABLE)
    if given:
        return os.path.abspath(given)
    above = _of_unit(_UNIT_STATE) or os.environ.get("XDG_STATE_HOME")
    return os.path.join(above or os.path.join(_home(), ".local", "state"), "ipcmules")


def _of_unit(variable: str) -> str:
    """The first of a unit's directories, '' if there is none, or it is another user's.

    A unit that starts as root, and drops to the user of its configuration, has them made for root.
    """
    path = os.environ.get(variable, "").partition(":")[0]
    try:
        return path if path.startswith("/") and os.stat(path).st_uid == os.geteuid() else ""
    except OSError:
        return ""


def _home() -> str:
    """This user's home. Raises AccessError where there is none: no directory would be theirs alone."""
    home = os.path.expanduser("~")
    if home.startswith("/"):
        return home
    raise AccessError(
        f"uid {os.geteuid()} has no home (no entry in the user database, and HOME is {home!r}), where what "
        f"outlives a bus is kept: set {STATE_VARIABLE} to a directory of your own, or HOME"
    )


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
    def control(self) -> str:
        """The socket at which the master answers questions."""
        return os.path.join(self.runtime, "control.sock")

    @property
    def notify(self) -> str:
        """The FIFO that wakes the master to look at the table."""
        return os.path.join(self.runtime, "master.fifo")

    @property
    def digest(self) -> str:
        """The digest of the runtime directory: it is in the names of all that outlives a process.

        Two runtime directories may share one state directory, and have a bus of one name each.
        """
        return self.kernel.split(".")[2]

    @property
    def kept(self) -> str:
        """The directory of messages that nobody could take, or that were left at a stop."""
        return os.path.join(self.state, f"kept-{self.digest}")

    @property
    def signals(self) -> str:
        """Signals that were raised and not handled when the bus ended."""
        return os.path.join(self.state, f"signals-{self.digest}.json")

    @property
    def crons(self) -> str:
        """When its crons fired last."""
        return os.path.join(self.state, f"crons-{self.digest}.json")

    def older(self, path: str) -> str:
        """The name that one of these had before they carried the digest."""
        return os.path.join(self.state, os.path.basename(path).replace(f"-{self.digest}", ""))

    def fifo(self, endpoint: str) -> str:
        """The wake-up FIFO of a signal endpoint, e.g. 'mule3', 'worker0', 'farm.mail'."""
        return os.path.join(self.runtime, f"signal.{endpoint}")

    @property
    def listener(self) -> str:
        """What the listener of --socket says of itself: JSON (bus/listening.py)."""
        return os.path.join(self.runtime, "listener.json")

    def figures(self, number: int) -> str:
        """Where a spooler counts what its tasks came to (spooler/figures.py)."""
        return os.path.join(self.runtime, f"figures.spooler{number}")

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
    def lanes(self) -> str:
        """The POSIX name of the segment that says which lanes there are; those of the lanes begin with it."""
        return f"{self.kernel}lanes"

    @property
    def large_prefix(self) -> str:
        """The POSIX name prefix of large messages' segments."""
        return f"{self.kernel}m."


def places(bus: str, root: str | None = None) -> Places:
    """The places of a bus, by name, under the environment's directories. Creates nothing.

    root: another runtime directory.
    """
    with undisturbed:
        import hashlib  # 4 ms, and a process that is on no bus does not need it

    check_name(bus)
    root = os.path.realpath(runtime_root() if root is None else root)
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:10]
    return Places(
        bus=bus,
        runtime=os.path.join(root, bus),
        state=os.path.join(state_root(), bus),
        kernel=f"/ipcmules.{os.geteuid()}.{digest}.{bus}.",
    )
