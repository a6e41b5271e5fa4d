"""Mules, farms, signals and locks for Python processes: uWSGI's, without uWSGI and without a broker.

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
    register_signal,
    set_user_harakiri,
    settings,
    signal,
    signal_received,
    signal_registered,
    signal_wait,
    worker_id,
)
from ipcmules.attachment import attach
from ipcmules.errors import (
    AccessError,
    BusRunning,
    BusStopped,
    ConfigError,
    IpcMulesError,
    LimitError,
    LockError,
    MessageTypeError,
    NotAMule,
    NotAttached,
    SignalError,
    StartError,
    UnknownTarget,
)
from ipcmules.locking import Lock, is_locked, lock, unlock

if TYPE_CHECKING:
    from ipcmules.bus import Bus
    from ipcmules.procedures import register_rpc, rpc, rpc_list
    from ipcmules.wire import send_message

__version__ = "0.1.0"

__all__ = [
    "AccessError",
    "Bus",
    "BusRunning",
    "BusStopped",
    "ConfigError",
    "IpcMulesError",
    "LimitError",
    "Lock",
    "LockError",
    "MessageTypeError",
    "NotAMule",
    "NotAttached",
    "SignalError",
    "StartError",
    "UnknownTarget",
    "__version__",
    "attach",
    "farm_get_msg",
    "farm_msg",
    "flush",
    "in_farm",
    "install_mule_msg_hook",
    "is_locked",
    "lock",
    "masterpid",
    "mule_get_msg",
    "mule_id",
    "mule_msg",
    "register_rpc",
    "register_signal",
    "rpc",
    "rpc_list",
    "send_message",
    "set_user_harakiri",
    "settings",
    "signal",
    "signal_received",
    "signal_registered",
    "signal_wait",
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
