"""What `ipcmules doctor` looks at: each check returns findings, and changes nothing that stays.

Knows the limits, the places and what a bus of a given configuration needs of them.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import resource
import stat
import sys
from dataclasses import dataclass

from ipcmules.bus import layout as table_layout
from ipcmules.bus.config import BusConfig
from ipcmules.bus.layout import ENDPOINT, WORKER_SLOTS
from ipcmules.bus.places import RUNTIME_VARIABLE, STATE_VARIABLE, Places, places, runtime_root, state_root
from ipcmules.errors import AccessError, FormatError, IpcMulesError
from ipcmules.locks import semaphores
from ipcmules.master.leftovers import dead_buses as sweep
from ipcmules.master.objects import inventory
from ipcmules.messages import queues, sizing, slots
from ipcmules.messages.lanes.directory import Layout

OK, NOTE, BAD = "ok", "note", "bad"

_SHM = "/dev/shm"
#: Less than this in shared memory is worth a word: large messages go to files then, bytes.
_ROOM = 64 << 20

#: Distribution and the oldest version; as in setup.py.
_NEEDED = {
    "posix-ipc": (1, 3),
    "sysv-ipc": (1, 2),
    "multiprocess": (0, 70, 17),
    "click": (8, 1),
    "rich": (13,),
    "setproctitle": (1, 3),
    "inotify-simple": (2,),
    "cronsim": (2, 7),
}
#: Versions of click that lose the flag value of an option with an optional value.
_BROKEN_CLICK = ((8, 3, 0), (8, 3, 1))


@dataclass(frozen=True)
class Finding:
    """One line of the result. remedy is the command that mends it, '' where nothing must be."""

    level: str
    text: str
    remedy: str = ""


def versions() -> list[Finding]:
    """Python, the system, and the packages ipcmules needs."""
    found = [Finding(OK, f"Python {platform.python_version()} on {platform.system()} {platform.release()}")]
    if sys.version_info < (3, 10) or platform.system() != "Linux":
        text = f"{found[0].text}: Python 3.10 or later on Linux is needed"
        found = [Finding(BAD, text, "use such a Python")]
    needed = dict(_NEEDED)
    if sys.version_info < (3, 11):
        needed["tomli"] = (2,)
    good = []
    for name, oldest in needed.items():
        wanted = ".".join(map(str, oldest))
        try:
            text = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found.append(Finding(BAD, f"{name} is not installed", f"pip install '{name}>={wanted}'"))
            continue
        version = tuple(int(each) for each in re.findall(r"\d+", text)[:3])
        if version < oldest:
            found.append(Finding(BAD, f"{name} {text} is too old", f"pip install '{name}>={wanted}'"))
        elif name == "click" and version in _BROKEN_CLICK:
            remedy = "pip install 'click>=8.1,!=8.3.0,!=8.3.1'"
            found.append(Finding(BAD, f"click {text} reads some options wrongly", remedy))
        else:
            good.append(f"{name} {text}")
    return [*found, Finding(OK, ", ".join(good))]


def directories() -> list[Finding]:
    """The runtime and state directories: ours, private, writable."""
    found = _directory("runtime directory", runtime_root(), RUNTIME_VARIABLE, 0o077)
    try:
        state = state_root()
    except AccessError as error:
        text, _, remedy = str(error).partition(": ")
        return [*found, Finding(BAD, text, remedy)]
    # In it each bus has a private directory of its own: others may look, not write.
    return [*found, *_directory("state directory", state, STATE_VARIABLE, 0o022)]


def _directory(what: str, path: str, variable: str, forbidden: int) -> list[Finding]:
    """forbidden: the bits of the mode that it must not have."""
    elsewhere = f"export {variable}=DIRECTORY   (one of your own)"
    if not os.path.lexists(path):
        return [_missing(what, path, elsewhere)]
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        return [Finding(BAD, f"{what} {path} is no directory (a symbolic link does not count)", f"rm {path}")]
    if found.st_uid != os.geteuid():
        whose = f"belongs to uid {found.st_uid}, this process is uid {os.geteuid()}"
        return [Finding(BAD, f"{what} {path} {whose}", elsewhere)]
    if found.st_mode & forbidden:
        mode = stat.S_IMODE(found.st_mode)
        return [Finding(BAD, f"{what} {path} is open to others (mode {mode:04o})", f"chmod 700 {path}")]
    if not os.access(path, os.W_OK | os.X_OK):
        return [Finding(BAD, f"{what} {path} cannot be written", f"chmod 700 {path}")]
    free = os.statvfs(path)
    if free.f_bavail * free.f_frsize < 1 << 20 or (free.f_files and not free.f_favail):
        return [Finding(BAD, f"the file system of the {what} {path} is full", elsewhere)]
    return [Finding(OK, f"{what} {path}")]


def _missing(what: str, path: str, elsewhere: str) -> Finding:
    parent = os.path.dirname(path)
    while not os.path.exists(parent):
        parent = os.path.dirname(parent)
    if os.access(parent, os.W_OK | os.X_OK):
        return Finding(OK, f"{what} {path} (is made when it is needed)")
    return Finding(BAD, f"{what} {path} is missing and cannot be made in {parent}", elsewhere)


def shared_memory() -> list[Finding]:
    """/dev/shm: there, writable, with room."""
    if not os.path.isdir(_SHM) or not os.access(_SHM, os.W_OK):
        remedy = f"mount -t tmpfs -o mode=1777 tmpfs {_SHM}"
        return [Finding(BAD, f"{_SHM} is missing or cannot be written", remedy)]
    free = _free()
    if free < _ROOM:
        return [
            Finding(
                NOTE,
                f"{_SHM} has {free >> 10} KiB free: large messages go to files in the state directory then",
                f"mount -o remount,size=1G {_SHM}   (docker: --shm-size=1g)",
            )
        ]
    return [Finding(OK, f"{_SHM} has {free >> 20} MiB free")]


def _free() -> int:
    found = os.statvfs(_SHM)
    return found.f_bavail * found.f_frsize


def limits() -> list[Finding]:
    """The kernel's limits as they are, and whether one queue and one semaphore can be had at all."""
    if not os.path.isdir("/proc/sys/fs/mqueue"):
        remedy = "use a kernel with CONFIG_POSIX_MQUEUE"
        return [Finding(BAD, "this kernel has no POSIX message queues", remedy)]
    limit = sizing.limits()
    size = "unlimited" if limit.bytes >= 1 << 62 else f"{limit.bytes} bytes"
    found = [
        Finding(
            OK,
            f"message queues: RLIMIT_MSGQUEUE {size}, msg_max {limit.depth}, msgsize_max {limit.size}, "
            f"countmax {limit.queues}",
        )
    ]
    return found + _fits(BusConfig(name=_trial(), mules=BusConfig().mules), "a lock")


def leftovers() -> list[Finding]:
    """What dead buses left, and dead letters."""
    try:
        buses = sweep.dead_buses()
    except AccessError as error:
        return [Finding(BAD, str(error))]
    found = [_dead_bus(where) for where in buses]
    found += [
        Finding(NOTE, f"bus {name!r} has {count} dead letters: 'ipcmules dead list --bus {name}' shows them")
        for name, count in sweep.dead_letters().items()
    ]
    return found or [Finding(OK, "no leftovers and no dead letters")]


def _dead_bus(where: Places) -> Finding:
    try:
        left = inventory.of(where)
    except FormatError as error:
        text, _, remedy = str(error).partition(": ")
        return Finding(BAD, text, remedy)
    text = f"bus {where.bus!r} is dead and has left {len(left)} objects: {', '.join(left[:4])}"
    return Finding(BAD, text, "ipcmules clean   (or start that bus again)")


def fits(config: BusConfig) -> list[Finding]:
    """Whether the bus that was described would fit: tried with queues and locks of another name."""
    if not (config.mules or config.locks or config.processes or config.spoolers):
        return []
    counts = (len(config.mules), len(config.farms), config.processes, config.locks + 1)
    what = "{} mules, {} farms, {} workers, {} locks".format(*counts)
    if config.spoolers:
        what += f", {len(config.spooler_directories)} spoolers"
    files = _descriptors(config)
    # Queues are descriptors: without enough of them the trial would fail, and blame another limit.
    trial = _fits(config, what) if files[0].level == OK else []
    return [*trial, *_memory(config), *files]


def _trial() -> str:
    return f"doctor-{os.getpid()}"


def _fits(config: BusConfig, what: str) -> list[Finding]:
    found: list[Finding] = []
    try:
        specs = queues.create_all(places(_trial()), config)
        queues.remove_all(specs)
        shapes = sorted({f"{each.depth} x {each.size}" for each in specs})
        if specs:
            found.append(Finding(OK, f"{what}: {len(specs)} queues fit ({', '.join(shapes)} bytes)"))
    except IpcMulesError as error:
        found.append(_refusal(what, error))
    try:
        keys = semaphores.create_new(config.locks + 1, lambda _keys: None)
        semaphores.remove(keys)
        found.append(Finding(OK, f"{what}: {len(keys)} semaphores can be had"))
    except IpcMulesError as error:
        found.append(_refusal(what, error))
    return found


def _refusal(what: str, error: IpcMulesError) -> Finding:
    """Our errors end with the remedy, after the first colon."""
    text, _, remedy = str(error).partition(": ")
    return Finding(BAD, f"{what} would not fit: {text}", remedy)


def _memory(config: BusConfig) -> list[Finding]:
    layout = table_layout.Layout.of(config)
    # Each mule has a page and, as long as nothing larger is in hand, three areas of its part in use.
    mule = slots.PAGE + 3 * sizing.WIDEST
    need = layout.reserved + config.processes * ENDPOINT + len(config.mules) * mule
    need += Layout.of(config).entries
    if need > _free():
        return [
            Finding(
                BAD,
                f"the bus needs {need >> 10} KiB of shared memory, {_SHM} has {_free() >> 10} KiB free",
                f"mount -o remount,size=1G {_SHM}   (docker: --shm-size=1g)",
            )
        ]
    found = [Finding(OK, f"shared memory: {need >> 10} KiB needed")]
    if config.mules and config.queue_messages and config.queue_bytes:
        most, free = config.queue_bytes >> 20, _free() >> 20
        text = f"behind each queue {config.queue_messages} messages and {most} MiB may wait"
        count = Layout.of(config).queues
        if most * count <= free:
            found.append(Finding(OK, f"{text}, in shared memory as they come"))
        else:
            less = f"{_SHM} has {free} MiB for {count} queues: where it is full senders wait"
            found.append(Finding(NOTE, f"{text}; {less}", "give it more, or say less: --queue-bytes"))
    return found


def _descriptors(config: BusConfig) -> list[Finding]:
    from ipcmules.master.run import open_files

    need, for_all = open_files(config), open_files(config, WORKER_SLOTS - config.processes)
    _soft, have = resource.getrlimit(resource.RLIMIT_NOFILE)  # the master raises its soft limit by itself
    if have == resource.RLIM_INFINITY or for_all <= have:
        return [Finding(OK, f"open files: about {for_all} needed")]
    if need > have:
        return [
            Finding(BAD, f"the master needs {need} open files, the limit is {have}", f"ulimit -n {for_all}")
        ]
    text = f"with all workers that can attach the master needs {for_all} open files, the limit is {have}"
    return [Finding(NOTE, text, f"ulimit -n {for_all}")]
