"""A bus as an object: the flat functions as methods, and attach() for any process of the same user.

Knows api, membership and presence; adds no behaviour of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipcmules import api, locking, membership, presence, scheduling, signalling, spool_info, spooling
from ipcmules.membership import Membership
from ipcmules.places import places


class Calls:
    """The flat functions as methods, for Bus and what attach() returns."""

    mule_msg = staticmethod(api.mule_msg)
    farm_msg = staticmethod(api.farm_msg)
    mule_get_msg = staticmethod(api.mule_get_msg)
    farm_get_msg = staticmethod(api.farm_get_msg)
    flush = staticmethod(api.flush)
    install_mule_msg_hook = staticmethod(api.install_mule_msg_hook)
    set_user_harakiri = staticmethod(api.set_user_harakiri)
    mule_id = staticmethod(api.mule_id)
    worker_id = staticmethod(api.worker_id)
    in_farm = staticmethod(api.in_farm)
    masterpid = staticmethod(api.masterpid)
    settings = staticmethod(api.settings)
    register_signal = staticmethod(signalling.register_signal)
    signal = staticmethod(signalling.signal)
    signal_registered = staticmethod(signalling.signal_registered)
    signal_received = staticmethod(signalling.signal_received)
    signal_wait = staticmethod(signalling.signal_wait)
    add_timer = staticmethod(scheduling.add_timer)
    add_ms_timer = staticmethod(scheduling.add_ms_timer)
    add_rb_timer = staticmethod(scheduling.add_rb_timer)
    add_cron = staticmethod(scheduling.add_cron)
    add_file_monitor = staticmethod(scheduling.add_file_monitor)
    remove_timer = staticmethod(scheduling.remove_timer)
    remove_cron = staticmethod(scheduling.remove_cron)
    remove_file_monitor = staticmethod(scheduling.remove_file_monitor)
    list_events = staticmethod(scheduling.list_events)

    @staticmethod
    def register_rpc(name: str | bytes, function: Callable[..., Any], argc: int = 0) -> bool:
        """As ipcmules.register_rpc(); what few processes need is imported when it is called."""
        from ipcmules import procedures

        return procedures.register_rpc(name, function, argc)

    @staticmethod
    def rpc(node: str | bytes | None, name: str | bytes, *arguments: bytes | str) -> bytes | None:
        """As ipcmules.rpc()."""
        from ipcmules import procedures

        return procedures.rpc(node, name, *arguments)

    @staticmethod
    def rpc_list() -> tuple[bytes, ...]:
        """As ipcmules.rpc_list()."""
        from ipcmules import procedures

        return procedures.rpc_list()

    lock = staticmethod(locking.lock)
    unlock = staticmethod(locking.unlock)
    is_locked = staticmethod(locking.is_locked)
    Lock = locking.Lock
    spool = staticmethod(spooling.spool)
    send_to_spooler = staticmethod(spooling.send_to_spooler)
    set_spooler = staticmethod(spooling.set_spooler)
    i_am_the_spooler = staticmethod(spool_info.i_am_the_spooler)
    set_spooler_frequency = staticmethod(spool_info.set_spooler_frequency)
    spooler_dir = staticmethod(spool_info.spooler_dir)
    spooler_get_task = staticmethod(spool_info.spooler_get_task)
    spooler_jobs = staticmethod(spool_info.spooler_jobs)
    spooler_pid = staticmethod(spool_info.spooler_pid)
    spooler_pids = staticmethod(spool_info.spooler_pids)
    spoolers = staticmethod(spool_info.spoolers)


class Attachment(Calls):
    """A running bus this process has joined; a context manager that leaves it at the end."""

    def __init__(self, member: Membership) -> None:
        self.name = member.where.bus
        self._member: Membership | None = member
        member.attachments += 1

    def detach(self) -> None:
        """Leave the bus, having flushed what is buffered; with the last of several attachments."""
        member, self._member = self._member, None
        if member is None:
            return
        member.attachments -= 1
        # Another one by now, if the bus has ended and come back.
        current = membership.peek()
        if not member.attachments and not (current is not None and current.attachments):
            presence.stop()
            membership.leave(for_good=True)

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.detach()


def attach(name: str | None = None) -> Attachment:
    """Join a running bus from any process of the same user.

    name: the bus's name; None joins the one this process belongs to (IPCMULES_BUS, or an embedding parent).
    Raises NotAttached if it is not running, BusRunning if this process is on another bus already.
    """
    return Attachment(membership.current() if name is None else membership.join(places(name), "attached"))
