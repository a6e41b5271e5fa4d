"""Mules, farms, signals, timers, locks and a spooler for Python: uWSGI's, without uWSGI and without a broker.

    from ipcmules import mule_msg, signal      in any process on a bus
    ipcmules run --mule=worker.py -- COMMAND   the launcher
    with ipcmules.Bus(mules=[...]) as bus:     inside a program

The names here are the public ones; docs/reference.md describes each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipcmules.api import (
    farm_get_msg,
    farm_msg,
    flush,
    in_farm,
    install_mule_msg_hook,
    masterpid,
    mule_get_msg,
    mule_id,
    mule_msg,
    set_user_harakiri,
    settings,
    worker_id,
)
from ipcmules.attachment import attach
from ipcmules.errors import (
    AccessError,
    BusRunning,
    BusStopped,
    ConfigError,
    EventError,
    EventTypeError,
    FormatError,
    IpcMulesError,
    LimitError,
    LockError,
    MessageTypeError,
    NotAMule,
    NotAttached,
    ReloadError,
    SignalError,
    SpoolError,
    SpoolWriteError,
    StartError,
    UnknownTarget,
)
from ipcmules.locking import Lock, is_locked, lock, unlock
from ipcmules.scheduling import (
    add_cron,
    add_file_monitor,
    add_ms_timer,
    add_rb_timer,
    add_timer,
    list_events,
    remove_cron,
    remove_file_monitor,
    remove_timer,
)
from ipcmules.signalling import (
    register_signal,
    signal,
    signal_received,
    signal_registered,
    signal_wait,
)
from ipcmules.spool_info import (
    i_am_the_spooler,
    set_spooler_frequency,
    spooler_dir,
    spooler_get_task,
    spooler_jobs,
    spooler_pid,
    spooler_pids,
    spoolers,
)
from ipcmules.spooling import SPOOL_IGNORE, SPOOL_OK, SPOOL_RETRY, send_to_spooler, set_spooler, spool
from ipcmules.version import __version__

if TYPE_CHECKING:
    from ipcmules.bus import Bus
    from ipcmules.procedures import register_rpc, rpc, rpc_list
    from ipcmules.wire import send_message

__all__ = [
    "SPOOL_IGNORE",
    "SPOOL_OK",
    "SPOOL_RETRY",
    "AccessError",
    "Bus",
    "BusRunning",
    "BusStopped",
    "ConfigError",
    "EventError",
    "EventTypeError",
    "FormatError",
    "IpcMulesError",
    "LimitError",
    "Lock",
    "LockError",
    "MessageTypeError",
    "NotAMule",
    "NotAttached",
    "ReloadError",
    "SignalError",
    "SpoolError",
    "SpoolWriteError",
    "StartError",
    "UnknownTarget",
    "__version__",
    "add_cron",
    "add_file_monitor",
    "add_ms_timer",
    "add_rb_timer",
    "add_timer",
    "attach",
    "farm_get_msg",
    "farm_msg",
    "flush",
    "i_am_the_spooler",
    "in_farm",
    "install_mule_msg_hook",
    "is_locked",
    "list_events",
    "lock",
    "masterpid",
    "mule_get_msg",
    "mule_id",
    "mule_msg",
    "register_rpc",
    "register_signal",
    "remove_cron",
    "remove_file_monitor",
    "remove_timer",
    "rpc",
    "rpc_list",
    "send_message",
    "send_to_spooler",
    "set_spooler",
    "set_spooler_frequency",
    "set_user_harakiri",
    "settings",
    "signal",
    "signal_received",
    "signal_registered",
    "signal_wait",
    "spool",
    "spooler_dir",
    "spooler_get_task",
    "spooler_jobs",
    "spooler_pid",
    "spooler_pids",
    "spoolers",
    "unlock",
    "worker_id",
]


#: Imported when they are first asked for: they need what most processes do not.
_LATE = {
    "Bus": "bus",
    "register_rpc": "procedures",
    "rpc": "procedures",
    "rpc_list": "procedures",
    "send_message": "wire",
}


def __getattr__(name: str) -> object:
    if name in _LATE:
        from importlib import import_module

        return getattr(import_module(f"ipcmules.{_LATE[name]}"), name)
    raise AttributeError(f"module 'ipcmules' has no attribute {name!r}")
