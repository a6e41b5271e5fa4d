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
from ipcmules.signalling import (
    register_signal,
    signal,
    signal_received,
    signal_registered,
    signal_wait,
)
from ipcmules.version import __version__

if TYPE_CHECKING:
    from ipcmules.attachment import attach
    from ipcmules.bus import Bus
    from ipcmules.procedures import RpcError, register_rpc, rpc, rpc_list
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
    from ipcmules.wire import PacketError, WireError, WireRefused, send_message

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
    "PacketError",
    "ReloadError",
    "RpcError",
    "SignalError",
    "SpoolError",
    "SpoolWriteError",
    "StartError",
    "UnknownTarget",
    "WireError",
    "WireRefused",
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


#: Imported when they are first asked for: most processes need none of them.
_LATE = {
    "attach": "attachment",
    "Bus": "bus",
    "RpcError": "procedures",
    "register_rpc": "procedures",
    "rpc": "procedures",
    "rpc_list": "procedures",
    "add_cron": "scheduling",
    "add_file_monitor": "scheduling",
    "add_ms_timer": "scheduling",
    "add_rb_timer": "scheduling",
    "add_timer": "scheduling",
    "list_events": "scheduling",
    "remove_cron": "scheduling",
    "remove_file_monitor": "scheduling",
    "remove_timer": "scheduling",
    "i_am_the_spooler": "spool_info",
    "set_spooler_frequency": "spool_info",
    "spooler_dir": "spool_info",
    "spooler_get_task": "spool_info",
    "spooler_jobs": "spool_info",
    "spooler_pid": "spool_info",
    "spooler_pids": "spool_info",
    "spoolers": "spool_info",
    "SPOOL_IGNORE": "spooling",
    "SPOOL_OK": "spooling",
    "SPOOL_RETRY": "spooling",
    "send_to_spooler": "spooling",
    "set_spooler": "spooling",
    "spool": "spooling",
    "PacketError": "wire",
    "WireError": "wire",
    "WireRefused": "wire",
    "send_message": "wire",
}


def __getattr__(name: str) -> object:
    if name in _LATE:
        from importlib import import_module

        found = globals()[name] = getattr(import_module(f"ipcmules.{_LATE[name]}"), name)
        return found
    raise AttributeError(f"module 'ipcmules' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
