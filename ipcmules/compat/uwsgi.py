"""The module `uwsgi` as ipcmules provides it: `import uwsgi` is this module where compatibility is on.

Names, arguments, results and errors are those of uWSGI 2.0.31's Python module; docs/uwsgi.md lists every name
and what differs. Here only what the results look like: the work is done by the public functions of ipcmules.

The module's class is a subclass of ModuleType, because assignments to it are hooks (live.py). What depends on
the bus (opt, numproc, the spooler's names) is looked up when it is asked for, through __getattr__ (PEP 562).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import ipcmules
from ipcmules import api, locking, membership, procedures, scheduling, signalling
from ipcmules import log as _log
from ipcmules import wire as _wire
from ipcmules.compat import absent, live, state
from ipcmules.errors import LockError, UnknownTarget

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
queue_size = 0

mule_msg_extra_hooks = live.Hooks()

# Messages


def mule_msg(message: Any, mule: int | str | bytes = 0, /) -> bool:
    """Send to the pool, a mule or a farm. False at once when the queue is full, as in uWSGI."""
    return api.mule_msg(message, mule, timeout=0)


def farm_msg(farm: str | bytes, message: Any, /) -> None:
    """Send to a farm; what cannot be sent is dropped and logged, as in uWSGI."""
    try:
        sent = api.farm_msg(farm, message, timeout=0)
    except UnknownTarget as error:
        _log.event("warning", f"uwsgi.farm_msg(): {error}")
        return
    if not sent:
        _log.event("warning", f"uwsgi.farm_msg(): the queue of farm {farm!r} is full, a message was dropped")


def mule_get_msg(
    signals: bool = True, farms: bool = True, buffer_size: int = 65536, timeout: float = -1
) -> bytes:
    """Wait for a message; b"" when the timeout is over."""
    return api.mule_get_msg(bool(signals), bool(farms), buffer_size, timeout) or b""


def farm_get_msg(timeout: float = -1, /) -> bytes:
    """Wait for a message to this mule's farms; b"" when the timeout is over."""
    return api.farm_get_msg(timeout) or b""


in_farm = api.in_farm
mule_id = api.mule_id
install_mule_msg_hook = api.install_mule_msg_hook

# Signals and events


def register_signal(signum: int, who: str, handler: Callable[[int], Any], /) -> None:
    """Say who handles a signal. who is a str, as there."""
    if not isinstance(who, str):
        raise TypeError(f"register_signal() argument 2 must be str, not {type(who).__name__}")
    signalling.register_signal(signum, who, handler)


def signal(signum: int = 0, node: str | None = None, /) -> None:
    """Raise a signal, here or (node: HOST:PORT or a Unix socket) at another server."""
    if node:
        _wire.send_signal(signum, node)
    else:
        signalling.signal(signum)


def signal_wait(signum: int | None = None, /) -> bytes:
    """Wait for a signal (for that one) and run its handler; b"", the number is in signal_received()."""
    signalling.signal_wait(signum)
    return b""


def signal_registered(signum: int, /) -> bool | None:
    """True or None."""
    return signalling.signal_registered(signum) or None


signal_received = signalling.signal_received


def add_timer(signum: int, seconds: float, /) -> None:
    """Raise a signal every so many seconds; 0 or less never fires, as there."""
    if seconds > 0:
        scheduling.add_timer(signum, seconds)


def add_ms_timer(signum: int, milliseconds: float, /) -> None:
    """The same in milliseconds."""
    if milliseconds > 0:
        scheduling.add_ms_timer(signum, milliseconds)


def add_rb_timer(signum: int, seconds: float, iterations: int = 0, /) -> None:
    """Raise a signal every so many seconds, so often (0: for ever)."""
    if seconds > 0 or iterations:
        scheduling.add_rb_timer(signum, max(seconds, 0), iterations)


def add_cron(signum: int, minute: int, hour: int, day: int, month: int, weekday: int, /) -> bool:
    """Raise a signal at the minutes that match."""
    scheduling.add_cron(signum, minute, hour, day, month, weekday)
    return True


def add_file_monitor(signum: int, filename: str, /) -> None:
    """Raise a signal when a file changes."""
    scheduling.add_file_monitor(signum, filename)


# Locks


def lock(lock_num: int = 0, /) -> None:
    """Take a lock, waiting for ever."""
    _not_in_spooler()
    locking.lock(lock_num)


def unlock(lock_num: int = 0, /) -> None:
    """Free a lock; one that this thread does not hold stays as it is (logged)."""
    _not_in_spooler()
    try:
        locking.unlock(lock_num)
    except LockError as error:
        _log.event("warning", f"uwsgi.unlock({lock_num}): {error}")


def is_locked(lock_num: int = 0, /) -> bool:
    """True if somebody holds it."""
    _not_in_spooler()
    return locking.is_locked(lock_num)


def _not_in_spooler() -> None:
    if i_am_the_spooler():
        raise ValueError("The spooler cannot lock/unlock resources: use ipcmules.Lock there")


# Processes

masterpid = api.masterpid
worker_id = state.worker_id
workers = state.workers
mem = state.memory
ready = state.ready


def i_am_the_spooler() -> bool | None:
    """True in a spooler, else None."""
    member = membership.peek()
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
    try:
        os.kill(api.masterpid() or -1, signum) if api.masterpid() else None
    except OSError as error:
        _log.event("error", f"the master could not be told: {error}")
        return None
    return True if api.masterpid() else None


def set_user_harakiri(seconds: float, /) -> None:
    """Have this process killed in so many seconds. Without effect where nobody would (attached processes)."""
    try:
        api.set_user_harakiri(seconds)
    except ipcmules.NotAMule:
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
    return procedures.register_rpc(name, func, arg_count)


def call(*name_and_arguments: bytes | str) -> bytes | None:
    """call(name, ...): call a function of this process by name. ValueError without a name, as there."""
    if not name_and_arguments:
        raise ValueError("unable to call rpc function: call() takes its name")
    return procedures.call(*name_and_arguments)


def rpc(*node_name_and_arguments: Any) -> bytes | None:
    """rpc(node, name, ...): call a function of another process (mule1, worker1) or server (HOST:PORT)."""
    if len(node_name_and_arguments) < 2:
        raise ValueError("unable to call rpc function: rpc() takes a node and a name")
    return procedures.rpc(*node_name_and_arguments)


rpc_list = procedures.rpc_list


def send_message(
    address: str,
    modifier1: int = 0,
    modifier2: int = 0,
    message: Any = b"",
    timeout: float = 0,
    /,
) -> bytes | bool:
    """Send a uwsgi packet and return its reply: True for a task or signal that was taken, else its bytes."""
    return ipcmules.send_message(address, modifier1, modifier2, message, timeout or None)


# The rest: what is looked up when it is asked for, and what is not here

_SPOOLER = ("spool", "send_to_spooler", "spooler_jobs", "spooler_pid", "spooler_pids", "spooler_get_task")
_SPOOLER_NAMES = frozenset({*_SPOOLER, "set_spooler_frequency", "spoolers", "spooler"})
_LOOKED_UP: dict[str, Callable[[], Any]] = {
    "opt": state.options,
    "numproc": state.numproc,
    "is_a_reload": state.is_a_reload,
    "started_on": state.started_on,
    "hostname": state.hostname,
    "magic_table": state.magic_table,
}


def __getattr__(name: str) -> Any:
    found = _LOOKED_UP.get(name)
    if found is not None:
        value = found()
        if membership.peek() is not None and name != "is_a_reload":
            globals()[name] = value  # from now on the same object, which apps may change
        return value
    if name in ("decorators", "post_fork_hook") or (name in _SPOOLER_NAMES and state.has_spooler()):
        return _late(name)
    raise AttributeError(f"module 'uwsgi' has no attribute {name!r}")


def _late(name: str) -> Any:
    from ipcmules.compat import spooling, uwsgidecorators

    if name == "decorators":
        return uwsgidecorators
    if name == "post_fork_hook":
        return uwsgidecorators.postfork_chain_hook
    if name == "spooler":
        return uwsgidecorators.manage_spool_request
    return state.spoolers() if name == "spoolers" else getattr(spooling, name)


def __dir__() -> Iterable[str]:
    names = {name for name in globals() if not name.startswith("_") or name.startswith("__")} - _OWN
    if state.has_spooler():
        names |= _SPOOLER_NAMES - {"spooler"}
    return sorted(names | set(_LOOKED_UP))


#: What stands here for this module's own sake.
_OWN = frozenset(
    {
        *("annotations", "os", "sys", "time", "Callable", "Iterable", "Any", "ipcmules", "api", "locking"),
        *(
            "membership",
            "procedures",
            "scheduling",
            "absent",
            "live",
            "state",
            "LockError",
            "UnknownTarget",
            "log_",
        ),
        *("post_fork_hook", "mule_msg_hook", "atexit"),
    }
)
log = log_
for _name, _value in absent.everything().items():
    globals()[_name] = _value
for _name in ("cache_get", "cache_exists", "cache_del"):
    globals()[_name] = lambda *_arguments: None  # as without a cache: code asks first
live.watch(sys.modules[__name__])


def _joined(_member: object) -> None:
    """Another bus, so another answer."""
    for name in _LOOKED_UP:
        globals().pop(name, None)


membership.on_join.append(_joined)
