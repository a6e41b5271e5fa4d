"""A bus as an object: the flat functions as methods, and attach() for any process of the same user.

Knows api, membership and presence; adds no behaviour of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ipcmules.api import locks, messages, presence, process, signals, tasks, timers
from ipcmules.api import spoolers as spool_info
from ipcmules.bus.places import places
from ipcmules.kernel.exhaustion import importing
from ipcmules.kernel.interruption import noted
from ipcmules.member import membership
from ipcmules.member.membership import Membership

if TYPE_CHECKING:
    from ipcmules.snapshot import Snapshot


class Calls:
    """The flat functions as methods, for Bus and what attach() returns."""

    mule_msg = staticmethod(messages.mule_msg)
    farm_msg = staticmethod(messages.farm_msg)
    mule_get_msg = staticmethod(messages.mule_get_msg)
    farm_get_msg = staticmethod(messages.farm_get_msg)
    flush = staticmethod(messages.flush)
    install_mule_msg_hook = staticmethod(messages.install_mule_msg_hook)
    set_user_harakiri = staticmethod(process.set_user_harakiri)
    mule_id = staticmethod(process.mule_id)
    worker_id = staticmethod(process.worker_id)
    in_farm = staticmethod(process.in_farm)
    masterpid = staticmethod(process.masterpid)
    settings = staticmethod(process.settings)
    register_signal = staticmethod(signals.register_signal)
    signal = staticmethod(signals.signal)
    signal_registered = staticmethod(signals.signal_registered)
    signal_received = staticmethod(signals.signal_received)
    signal_wait = staticmethod(signals.signal_wait)
    add_timer = staticmethod(timers.add_timer)
    add_ms_timer = staticmethod(timers.add_ms_timer)
    add_rb_timer = staticmethod(timers.add_rb_timer)
    add_cron = staticmethod(timers.add_cron)
    add_file_monitor = staticmethod(timers.add_file_monitor)
    remove_timer = staticmethod(timers.remove_timer)
    remove_cron = staticmethod(timers.remove_cron)
    remove_file_monitor = staticmethod(timers.remove_file_monitor)
    list_events = staticmethod(timers.list_events)

    @staticmethod
    def register_rpc(name: str | bytes, function: Callable[..., Any], argc: int = 0) -> bool:
        """As ipcmules.register_rpc(); what few processes need is imported when it is called."""
        with importing:
            from ipcmules.api import rpc as procedures

        return procedures.register_rpc(name, function, argc)

    @staticmethod
    def rpc(
        node: str | bytes | None, name: str | bytes, *arguments: bytes | str, timeout: float = 60.0
    ) -> bytes | None:
        """As ipcmules.rpc()."""
        with importing:
            from ipcmules.api import rpc as procedures

        return procedures.rpc(node, name, *arguments, timeout=timeout)

    @staticmethod
    def rpc_list() -> tuple[bytes, ...]:
        """As ipcmules.rpc_list()."""
        with importing:
            from ipcmules.api import rpc as procedures

        return procedures.rpc_list()

    @staticmethod
    def status(*, events: bool = False) -> Snapshot:
        """As ipcmules.status()."""
        with importing:
            from ipcmules.embed import looking

        return looking.status(events=events)

    lock = staticmethod(locks.lock)
    unlock = staticmethod(locks.unlock)
    is_locked = staticmethod(locks.is_locked)
    Lock = locks.Lock
    spool = staticmethod(tasks.spool)
    send_to_spooler = staticmethod(tasks.send_to_spooler)
    set_spooler = staticmethod(tasks.set_spooler)
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
        """Leave the bus; with the last of several attachments."""
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


def attach(name: str | None = None, serve: bool | None = None) -> Attachment:
    """Join a running bus from any process of the same user.

    name: the bus's name; None joins the one this process belongs to (IPCMULES_BUS, or an embedding parent).
    serve: False, this process sends and raises, and handles no signals, whatever it has registered, but in
        signal_wait(). True, it is a worker, as one of a web server: --import is loaded, it takes a number,
        the @postfork functions run, and it handles signals. None: by the rules of
        docs/reference/web-servers.md.
    Raises NotAttached if it is not running, BusRunning if this process is on another bus already.
    """
    if serve is False:
        presence.say(False)
    member = membership.current() if name is None else membership.join(places(name), "attached")
    if serve:
        with importing:
            from ipcmules.api import webworkers

        webworkers.load(lambda: None)
        webworkers.begin()
    made: list[Attachment] = []
    try:
        return noted(made, Attachment, member)
    except BaseException:  # a signal handler of the program: nobody else detaches it
        for each in made:
            each.detach()
        raise
