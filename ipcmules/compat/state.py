"""What uWSGI's module tells about the server and its processes: workers(), mem(), opt and the like."""

from __future__ import annotations

import os
import socket
from typing import Any

from ipcmules.api import presence, process
from ipcmules.bus import table
from ipcmules.bus.config import BusConfig
from ipcmules.bus.layout import WORKER_SLOTS
from ipcmules.compat import legions, opt
from ipcmules.kernel import processes
from ipcmules.member import membership
from ipcmules.member.membership import Membership
from ipcmules.signals import identity

_PAGE = os.sysconf("SC_PAGE_SIZE")


def config() -> BusConfig | None:
    """The bus's configuration, None on no bus."""
    member = membership.find()
    return member.description.config if member is not None else None


def options() -> dict[str, Any]:
    """uwsgi.opt; empty on no bus."""
    found = config()
    return opt.options(found) if found is not None else {}


def numproc() -> int:
    """uwsgi.numproc."""
    found = config()
    return opt.processes(opt.options(found), found) if found is not None else 1


def workers() -> tuple[dict[str, Any], ...]:
    """A dict a living worker; what only a web server counts is 0."""
    worker_id()  # this one may be one that has not asked
    member = membership.find()
    if member is None:
        return ()
    numbers = range(1, WORKER_SLOTS + 1)
    return tuple(
        _worker(member, number)
        for number in numbers
        if member.table.cells[member.table.worker(number) + table.R_PID]
    )


def _worker(member: Membership, number: int) -> dict[str, Any]:
    record = member.table.worker(number)
    cells = member.table.cells
    pid = int(cells[record + table.R_PID])
    rss, vsz = memory(pid)
    doing = int(cells[record + table.R_DOING])
    status = b"idle"
    if doing >> 8 == table.DOES_SIGNAL:
        status = b"sig%d" % (doing & 0xFF)
    elif doing:
        status = b"busy"
    return {
        "id": number,
        "pid": pid,
        "requests": 0,
        "delta_requests": 0,
        "signals": int(cells[record + table.R_SIGNALS]),
        "exceptions": int(cells[record + table.R_EXCEPTIONS]),
        "status": status,
        "rss": rss,
        "vsz": vsz,
        "running_time": 0,
        "last_spawn": int(cells[record + table.R_SINCE]) // 10**9,
        "respawn_count": max(int(cells[record + table.R_SPAWNS]) - 1, 0),
        "tx": 0,
        "avg_rt": 0,
        "apps": (),
    }


#: The process that has asked for its worker number, and the one that is known to be none of a server's.
_asked = _no_worker = 0


def worker_id() -> int:
    """uwsgi.worker_id(): the number of this worker, 0 elsewhere.

    A worker of a web server that is known has one before its first request. A process that the command has
    started otherwise takes one when it asks, with or without handlers, but not while a module is imported:
    code elects a leader by `worker_id() == 1`. The command itself may be a shell or a one-off program, and
    has a number only if it has registered something.
    """
    global _asked, _no_worker
    found, pid = process.worker_id(), os.getpid()
    member = membership.peek()
    if found or member is None or member.role != "attached" or _no_worker == pid:
        return found
    # uWSGI's master loads the application, unless each worker does (lazy-apps): nobody has a number
    # meanwhile.
    if not presence.may_serve() or (not member.description.config.lazy_apps and identity.loads_module()):
        return 0
    if member.description.master not in processes.ancestors()[1:]:
        _no_worker = pid
        return 0
    if not _asked:
        presence.also_when(lambda: _asked == os.getpid(), lambda _member: None)
    _asked = pid
    presence.ensure(member)
    return member.worker


def memory(pid: int | str = "self") -> tuple[int, int]:
    """Resident and virtual size of a process in bytes, zeros if it is gone (proc(5), statm)."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            virtual, resident = file.read().split()[:2]
    except (OSError, ValueError):
        return 0, 0
    return int(resident) * _PAGE, int(virtual) * _PAGE


def is_a_reload() -> bool:
    """True where the code is not that of the bus's start."""
    member = membership.find()
    return member is not None and int(member.table.cells[table.H_CODE]) > 1


def ready() -> bool | None:
    """True once the bus is ready, None before, as in uWSGI."""
    member = membership.find()
    return True if member is not None and member.table.cells[table.H_STATE] == table.READY else None


def started_on() -> int:
    """When the master started, in epoch seconds; this process's own start on no bus."""
    member = membership.find()
    pid = member.description.master.pid if member is not None else os.getpid()
    try:
        return int(os.stat(f"/proc/{pid}").st_ctime)
    except OSError:
        return 0


def hostname() -> bytes:
    """This machine's name."""
    return socket.gethostname().encode()


def magic_table() -> dict[bytes, bytes]:
    """The placeholders that hold for every file."""
    from ipcmules.compat import magic

    return {key.encode(): os.fsencode(value) for key, value in magic._machine().items()}


def has_spooler() -> bool:
    """True where the bus has a spooler: uWSGI's module has the spooler names only then."""
    found = config()
    return found is not None and bool(found.spoolers)


def asked_for(options: tuple[str, ...]) -> bool:
    """True if an option was given whose name is one of these, or begins with one that ends in a hyphen."""
    found = config()
    if found is None:
        return False
    given = {key for key, _ in (*found.options, *found.settings)}
    starts = tuple(f"{each.rstrip('-')}-" for each in options)
    return any(key in options or key.startswith(starts) for key in given)


def alone_in_legion(name: str) -> bool | None:
    """See legions.alone()."""
    found = config()
    return legions.alone((*found.options, *found.settings), name) if found is not None else None


def spoolers() -> tuple[bytes, ...]:
    """The real path of each spooler's directory."""
    found = config()
    return tuple(map(os.fsencode, found.spooler_directories)) if found is not None else ()
