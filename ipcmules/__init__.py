"""Mules, farms, signals, timers, locks and a spooler for Python: uWSGI's, without uWSGI and without a broker.

    from ipcmules import mule_msg, signal      in any process on a bus
    ipcmules run --mule=worker.py -- COMMAND   the launcher
    with ipcmules.Bus(mules=[...]) as bus:     inside a program

What is public is listed here: the names of _PUBLIC, and the modules aio, cachelib, compat, decorators,
django, errors and testing. All else is private and may move between two versions. docs/reference
describes each name.
"""

# Each name stands twice: in an import, which type checkers read ("as" makes it public, PEP 484), and in
# _PUBLIC, which is there at run time.

from __future__ import annotations

from typing import TYPE_CHECKING

from ipcmules.api.messages import (
    farm_get_msg as farm_get_msg,
    farm_msg as farm_msg,
    flush as flush,
    install_mule_msg_hook as install_mule_msg_hook,
    mule_get_msg as mule_get_msg,
    mule_msg as mule_msg,
    received_context as received_context,
    redelivered as redelivered,
)
from ipcmules.api.signals import (
    register_signal as register_signal,
    signal as signal,
    signal_received as signal_received,
    signal_registered as signal_registered,
    signal_wait as signal_wait,
)
from ipcmules.errors import (
    AccessError as AccessError,
    BusRunning as BusRunning,
    BusStopped as BusStopped,
    CacheError as CacheError,
    CacheFull as CacheFull,
    ConfigError as ConfigError,
    CounterError as CounterError,
    Drop as Drop,
    EventError as EventError,
    EventTypeError as EventTypeError,
    FormatError as FormatError,
    IpcMulesError as IpcMulesError,
    LimitError as LimitError,
    LockError as LockError,
    MessageTypeError as MessageTypeError,
    NotAMule as NotAMule,
    NotAttached as NotAttached,
    ReloadError as ReloadError,
    Retry as Retry,
    SignalError as SignalError,
    SoftTimeout as SoftTimeout,
    SpoolError as SpoolError,
    SpoolWriteError as SpoolWriteError,
    StandstillError as StandstillError,
    StartError as StartError,
    TaskCancelled as TaskCancelled,
    TaskError as TaskError,
    TaskExpired as TaskExpired,
    TaskFailed as TaskFailed,
    TaskTimeout as TaskTimeout,
    TaskUnknown as TaskUnknown,
    UnknownTarget as UnknownTarget,
)

if TYPE_CHECKING:
    from ipcmules.api.async_handles import (
        AsyncTask as AsyncTask,
    )
    from ipcmules.api.caches import (
        cache as cache,
    )
    from ipcmules.api.counters import (
        counter as counter,
    )
    from ipcmules.api.flows import (
        chain as chain,
        group as group,
        spool_many as spool_many,
    )
    from ipcmules.api.handles import (
        Task as Task,
        task as task,
    )
    from ipcmules.api.locks import (
        Lock as Lock,
        is_locked as is_locked,
        lock as lock,
        unlock as unlock,
    )
    from ipcmules.api.process import (
        in_farm as in_farm,
        masterpid as masterpid,
        mule_id as mule_id,
        role as role,
        set_user_harakiri as set_user_harakiri,
        settings as settings,
        worker_id as worker_id,
    )
    from ipcmules.api.rpc import (
        RpcError as RpcError,
        register_rpc as register_rpc,
        rpc as rpc,
        rpc_list as rpc_list,
    )
    from ipcmules.api.spoolers import (
        i_am_the_spooler as i_am_the_spooler,
        set_spooler_frequency as set_spooler_frequency,
        spooler_dir as spooler_dir,
        spooler_get_task as spooler_get_task,
        spooler_jobs as spooler_jobs,
        spooler_pid as spooler_pid,
        spooler_pids as spooler_pids,
        spoolers as spoolers,
    )
    from ipcmules.api.tasks import (
        SPOOL_IGNORE as SPOOL_IGNORE,
        SPOOL_OK as SPOOL_OK,
        SPOOL_RETRY as SPOOL_RETRY,
        send_to_spooler as send_to_spooler,
        set_spooler as set_spooler,
        spool as spool,
    )
    from ipcmules.api.timers import (
        add_cron as add_cron,
        add_file_monitor as add_file_monitor,
        add_ms_timer as add_ms_timer,
        add_rb_timer as add_rb_timer,
        add_timer as add_timer,
        list_events as list_events,
        remove_cron as remove_cron,
        remove_file_monitor as remove_file_monitor,
        remove_timer as remove_timer,
    )
    from ipcmules.bus.version import (
        __version__ as __version__,
    )
    from ipcmules.embed.attachment import (
        attach as attach,
    )
    from ipcmules.embed.bus import (
        Bus as Bus,
    )
    from ipcmules.embed.looking import (
        status as status,
    )
    from ipcmules.snapshot import (
        Snapshot as Snapshot,
    )
    from ipcmules.spooler.current import (
        CurrentTask as CurrentTask,
        current_task as current_task,
    )
    from ipcmules.wire.packets import (
        PacketError as PacketError,
        WireError as WireError,
        WireRefused as WireRefused,
        send_message as send_message,
    )

#: The public names by module. Those under TYPE_CHECKING above are imported when they are first asked for:
#: most processes need none of them.
_PUBLIC = {
    "ipcmules.api.async_handles": ("AsyncTask",),
    "ipcmules.api.caches": ("cache",),
    "ipcmules.api.counters": ("counter",),
    "ipcmules.api.flows": ("chain", "group", "spool_many"),
    "ipcmules.api.handles": ("Task", "task"),
    "ipcmules.api.locks": ("Lock", "is_locked", "lock", "unlock"),
    "ipcmules.api.messages": (
        "farm_get_msg",
        "farm_msg",
        "flush",
        "install_mule_msg_hook",
        "mule_get_msg",
        "mule_msg",
        "received_context",
        "redelivered",
    ),
    "ipcmules.api.process": (
        "in_farm",
        "masterpid",
        "mule_id",
        "role",
        "set_user_harakiri",
        "settings",
        "worker_id",
    ),
    "ipcmules.api.rpc": ("RpcError", "register_rpc", "rpc", "rpc_list"),
    "ipcmules.api.signals": (
        "register_signal",
        "signal",
        "signal_received",
        "signal_registered",
        "signal_wait",
    ),
    "ipcmules.api.spoolers": (
        "i_am_the_spooler",
        "set_spooler_frequency",
        "spooler_dir",
        "spooler_get_task",
        "spooler_jobs",
        "spooler_pid",
        "spooler_pids",
        "spoolers",
    ),
    "ipcmules.api.tasks": (
        "SPOOL_IGNORE",
        "SPOOL_OK",
        "SPOOL_RETRY",
        "send_to_spooler",
        "set_spooler",
        "spool",
    ),
    "ipcmules.api.timers": (
        "add_cron",
        "add_file_monitor",
        "add_ms_timer",
        "add_rb_timer",
        "add_timer",
        "list_events",
        "remove_cron",
        "remove_file_monitor",
        "remove_timer",
    ),
    "ipcmules.bus.version": ("__version__",),
    "ipcmules.embed.attachment": ("attach",),
    "ipcmules.embed.bus": ("Bus",),
    "ipcmules.embed.looking": ("status",),
    "ipcmules.errors": (
        "AccessError",
        "BusRunning",
        "BusStopped",
        "CacheError",
        "CacheFull",
        "ConfigError",
        "CounterError",
        "Drop",
        "EventError",
        "EventTypeError",
        "FormatError",
        "IpcMulesError",
        "LimitError",
        "LockError",
        "MessageTypeError",
        "NotAMule",
        "NotAttached",
        "ReloadError",
        "Retry",
        "SignalError",
        "SoftTimeout",
        "SpoolError",
        "SpoolWriteError",
        "StandstillError",
        "StartError",
        "TaskCancelled",
        "TaskError",
        "TaskExpired",
        "TaskFailed",
        "TaskTimeout",
        "TaskUnknown",
        "UnknownTarget",
    ),
    "ipcmules.snapshot": ("Snapshot",),
    "ipcmules.spooler.current": ("CurrentTask", "current_task"),
    "ipcmules.wire.packets": ("PacketError", "WireError", "WireRefused", "send_message"),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = list(_MODULE_OF)

#: Submodules that are public, likewise: `import ipcmules` is enough for ipcmules.testing.inline().
_MODULES = frozenset({"aio", "cachelib", "compat", "decorators", "django", "testing"})

if not TYPE_CHECKING:  # to a type checker, which believes what it returns, no name would be unknown

    def __getattr__(name: str) -> object:
        from importlib import import_module

        with import_module("ipcmules.kernel.exhaustion").importing:
            if name in _MODULES:
                return import_module(f"ipcmules.{name}")
            if name in _MODULE_OF:
                found = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
                return found
        raise AttributeError(f"module 'ipcmules' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
