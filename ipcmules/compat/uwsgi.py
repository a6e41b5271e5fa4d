"""The module `uwsgi` as ipcmules provides it: `import uwsgi` is this module where compatibility is on.

Names, arguments, results and errors are those of uWSGI 2.0.31's Python module; docs/uwsgi.md lists every name
and what differs. Here only what the results look like: the work is done by the public functions of ipcmules.

The module's class is a subclass of ModuleType, because assignments to it are hooks (live.py). What depends on
the bus (opt, numproc, the spooler's names) is looked up when it is asked for, through __getattr__ (PEP 562).
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import ipcmules as _ipcmules
from ipcmules.api import locks as _locks
from ipcmules.api import messages as _messages
from ipcmules.api import process as _process
from ipcmules.api import rpc as _rpc
from ipcmules.api import signals as _signals
from ipcmules.api import timers as _timers
from ipcmules.bus import log as _log
from ipcmules.compat import absent as _absent
from ipcmules.compat import caching as _caching
from ipcmules.compat import counting as _counting
from ipcmules.compat import descriptors as _descriptors
from ipcmules.compat import live as _live
from ipcmules.compat import optional as _optional
from ipcmules.compat import quiet as _quiet
from ipcmules.compat import state as _state
from ipcmules.errors import LockError as _LockError
from ipcmules.errors import UnknownTarget as _UnknownTarget
from ipcmules.kernel import kill as _kill
from ipcmules.member import membership as _membership
from ipcmules.wire import packets as _wire

SPOOL_OK, SPOOL_RETRY, SPOOL_IGNORE = -2, -1, 0

version = b"2.0.31"
version_info = (2, 0, 31, 0, b"")
applications = None
buffer_size = 4096
cores = 1
has_threads = 1
loop = None
sockets: list[int] = []
unbit = None

mule_msg_extra_hooks = _live.Hooks()

# Messages


def mule_msg(message: Any, mule: int | str | bytes = 0, /) -> bool:
    """Send to the pool, a mule or a farm. False at once when the queue is full, as in uWSGI."""
    return _messages.mule_msg(message, mule, timeout=0)


def farm_msg(farm: str | bytes, message: Any, /) -> None:
    """Send to a farm; what cannot be sent is dropped and logged, as in uWSGI."""
    try:
        sent = _messages.farm_msg(farm, message, timeout=0)
    except _UnknownTarget as error:
        _log.event("warning", f"uwsgi.farm_msg(): {error}")
        return
    if not sent:
        _log.event("warning", f"uwsgi.farm_msg(): the queue of farm {farm!r} is full, a message was dropped")


def mule_get_msg(
    signals: bool = True, farms: bool = True, buffer_size: int = 65536, timeout: float = -1
) -> bytes:
    """Wait for a message; b"" when the timeout is over."""
    return _messages.mule_get_msg(bool(signals), bool(farms), buffer_size, timeout) or b""


def farm_get_msg(timeout: float = -1, /) -> bytes:
    """Wait for a message to this mule's farms; b"" when the timeout is over."""
    return _messages.farm_get_msg(timeout) or b""


in_farm = _process.in_farm
mule_id = _process.mule_id
install_mule_msg_hook = _messages.install_mule_msg_hook

# Signals and events


def register_signal(signum: int, who: str, handler: Callable[[int], Any], /) -> None:
    """Say who handles a signal. who is a str, as there."""
    if not isinstance(who, str):
        raise TypeError(f"register_signal() argument 2 must be str, not {type(who).__name__}")
    _signals.register_signal(signum, who, handler)


def signal(signum: int = 0, node: str | None = None, /) -> None:
    """Raise a signal, here or (node: HOST:PORT or a Unix socket) at another server."""
    if node:
        _wire.send_signal(signum, node)
    else:
        _signals.signal(signum)


def signal_wait(signum: int | None = None, /) -> bytes:
    """Wait for a signal (for that one) and run its handler; b"", the number is in signal_received()."""
    _signals.signal_wait(signum)
    return b""


def signal_registered(signum: int, /) -> bool | None:
    """True or None."""
    return _signals.signal_registered(signum) or None


signal_received = _signals.signal_received


def add_timer(signum: int, seconds: float, /) -> None:
    """Raise a signal every so many seconds; 0 or less never fires, as there."""
    if seconds > 0:
        _timers.add_timer(signum, seconds)


def add_ms_timer(signum: int, milliseconds: float, /) -> None:
    """The same in milliseconds."""
    if milliseconds > 0:
        _timers.add_ms_timer(signum, milliseconds)


def add_rb_timer(signum: int, seconds: float, iterations: int = 0, /) -> None:
    """Raise a signal every so many seconds, so often (0: for ever)."""
    if seconds > 0 or iterations:
        _timers.add_rb_timer(signum, max(seconds, 0), iterations)


def add_cron(signum: int, minute: int, hour: int, day: int, month: int, weekday: int, /) -> bool:
    """Raise a signal at the minutes that match."""
    _timers.add_cron(signum, minute, hour, day, month, weekday)
    return True


def add_file_monitor(signum: int, filename: str, /) -> None:
    """Raise a signal when a file changes."""
    _timers.add_file_monitor(signum, filename)


# Locks


def lock(lock_num: int = 0, /) -> None:
    """Take a lock, waiting for ever."""
    _not_in_spooler()
    _locks.lock(lock_num)


def unlock(lock_num: int = 0, /) -> None:
    """Free a lock; one that this thread does not hold stays as it is (logged)."""
    _not_in_spooler()
    try:
        _locks.unlock(lock_num)
    except _LockError as error:
        _log.event("warning", f"uwsgi.unlock({lock_num}): {error}")


def is_locked(lock_num: int = 0, /) -> bool:
    """True if somebody holds it."""
    _not_in_spooler()
    return _locks.is_locked(lock_num)


def _not_in_spooler() -> None:
    if i_am_the_spooler():
        raise ValueError("The spooler cannot lock/unlock resources: use ipcmules.Lock there")


# Processes

masterpid = _process.masterpid
worker_id = _state.worker_id
workers = _state.workers
mem = _state.memory
ready = _state.ready


def i_am_the_spooler() -> bool | None:
    """True in a spooler, else None."""
    member = _membership.peek()
    return True if member is not None and member.role == "spooler" else None


def log_(logline: str, /) -> bool:
    """Write a line into the log."""
    if not isinstance(logline, str):
        raise TypeError(f"log() argument 1 must be str, not {type(logline).__name__}")
    if os.environ.get(_log.FORMAT_VARIABLE) == "json":
        _log.event("info", logline)
    else:
        os.write(2, f"{logline}\n".encode(errors="replace"))
    return True


def setprocname(name: str, /) -> None:
    """Set the name that ps(1) shows."""
    import setproctitle

    setproctitle.setproctitle(name)


def reload() -> bool | None:
    """Reload the bus; None if that was not possible."""
    return _tell_master(1)


def stop() -> bool | None:
    """Stop the bus, gracefully; None if that was not possible."""
    return _tell_master(15)


def _tell_master(signum: int) -> bool | None:
    # Looked at once: the bus may end at any moment, and its master is then nobody.
    member = _membership.find()
    if member is None:
        return None
    try:
        told = _kill.send(member.description.master, signum)
    except OSError as error:
        _log.event("error", f"the master could not be told: {error}")
        return None
    return True if told else None


def i_am_the_lord(legion: str, /) -> bool:
    """False, as where there is no such legion; True in a legion that has this machine alone.

    NotImplementedError in one of several machines: nobody here knows which of them is the lord.
    """
    _quiet.check("i_am_the_lord", "s", (legion,))
    alone = _state.alone_in_legion(legion)
    if alone is False:
        raise NotImplementedError(
            f"uwsgi.i_am_the_lord({legion!r}): that legion has several machines, and who of them is the lord "
            "is not known here: use a lock service"
        )
    return bool(alone)


def set_user_harakiri(seconds: float, /) -> None:
    """Have this process killed in so many seconds. Without effect where nobody would (attached processes)."""
    try:
        _process.set_user_harakiri(seconds)
    except _ipcmules.NotAMule:
        pass  # the web server has a timeout of its own for its workers


def alarm(alarm: str, msg: bytes | str, /) -> None:
    """Do what --alarm says for this name."""
    from ipcmules.compat import alarms

    alarms.trigger(alarm, msg.encode() if isinstance(msg, str) else bytes(memoryview(msg)))


def micros() -> int:
    """Microseconds since the epoch."""
    return int(time.time() * 1_000_000)


def total_requests() -> int:
    """0: the web server counts its requests itself."""
    return 0


request_id = logsize = total_requests


def extract(name: str, /) -> bytes | None:
    """The content of a file, None if it cannot be read."""
    try:
        with open(name, "rb") as file:
            return file.read()
    except OSError:
        return None


def parsefile(filename: str, /) -> dict[bytes, bytes] | None:
    """The variables of a uwsgi packet in a file (a spool file), None if it is none."""
    data = extract(filename)
    try:
        size = _wire.unpack_header((data or b"")[:4]).size
        return _wire.unpack_vars((data or b"")[4 : 4 + size])
    except ValueError:
        return None


# RPC and the wire


def register_rpc(name: str, func: Callable[..., Any], arg_count: int = 0, /) -> bool:
    """Let others call a function."""
    return _rpc.register_rpc(name, func, arg_count)


def call(*name_and_arguments: bytes | str) -> bytes | None:
    """call(name, ...): call a function of this process by name. ValueError without a name, as there."""
    if not name_and_arguments:
        raise ValueError("unable to call rpc function: call() takes its name")
    return _rpc.call(*name_and_arguments)


def rpc(*node_name_and_arguments: Any) -> bytes | None:
    """rpc(node, name, ...): call a function of another process (mule1, worker1) or server (HOST:PORT)."""
    if len(node_name_and_arguments) < 2:
        raise ValueError("unable to call rpc function: rpc() takes a node and a name")
    return _rpc.rpc(*node_name_and_arguments)


rpc_list = _rpc.rpc_list


def send_message(
    address: str,
    modifier1: int = 0,
    modifier2: int = 0,
    message: Any = b"",
    timeout: float = 0,
    /,
) -> bytes | bool:
    """Send a uwsgi packet and return its reply: True for a task or signal that was taken, else its bytes."""
    return _ipcmules.send_message(address, modifier1, modifier2, message, timeout or None)


# The rest: what is looked up when it is asked for, and what is not here

_SPOOLER = ("spool", "send_to_spooler", "spooler_jobs", "spooler_pid", "spooler_pids", "spooler_get_task")
_SPOOLER_NAMES = frozenset({*_SPOOLER, "set_spooler_frequency", "spoolers", "spooler"})
_LOOKED_UP: dict[str, Callable[[], Any]] = {
    "opt": _state.options,
    "numproc": _state.numproc,
    "is_a_reload": _state.is_a_reload,
    "started_on": _state.started_on,
    "hostname": _state.hostname,
    "magic_table": _state.magic_table,
}


def __getattr__(name: str) -> Any:
    found = _LOOKED_UP.get(name)
    if found is not None:
        value = found()
        if _membership.peek() is not None and name != "is_a_reload":
            globals()[name] = value  # from now on the same object, which apps may change
        return value
    if name in _optional.NAMES:
        try:
            return _optional.find(name)
        except KeyError:
            pass
    if name in ("decorators", "post_fork_hook") or (name in _SPOOLER_NAMES and _state.has_spooler()):
        return _late(name)
    raise AttributeError(f"module 'uwsgi' has no attribute {name!r}")


def _late(name: str) -> Any:
    from ipcmules.compat import chains, spooling

    if name == "decorators":
        # By name, as its user imports it: that module stands above this one.
        return importlib.import_module(f"{__package__}.uwsgidecorators")
    if name == "post_fork_hook":
        return chains.postfork_chain_hook
    if name == "spooler":
        return chains.manage_spool_request
    return _state.spoolers() if name == "spoolers" else getattr(spooling, name)


def __dir__() -> Iterable[str]:
    names = {name for name in globals() if not name.startswith("_") or name.startswith("__")} - _OWN
    if _state.has_spooler():
        names |= _SPOOLER_NAMES - {"spooler"}
    return sorted(names | _optional.names() | set(_LOOKED_UP))


#: What stands here for this module's own sake.
_OWN = frozenset(
    {
        *("annotations", "importlib", "os", "sys", "time", "Callable", "Iterable", "Any", "log_"),
        *("post_fork_hook", "mule_msg_hook", "atexit"),
    }
)
log = log_
globals().update(_absent.everything())
globals().update(_descriptors.CALLS)
globals().update({name: _quiet.function(name, how) for name, how in _quiet.CALLS.items()})
globals().update(_caching.CALLS)
globals().update(_counting.CALLS)
_live.watch(sys.modules[__name__])


def _joined(_member: object) -> None:
    """Another bus, so another answer."""
    for name in _LOOKED_UP:
        globals().pop(name, None)


_membership.on_join.append(_joined)
