"""The wait loop of a signal-only mule: bodies first, then signals and messages until the stop.

Knows the inbox, the hooks and dispatch.
"""

from __future__ import annotations

import time

from ipcmules.member.membership import Membership
from ipcmules.messages.receive.inbox import Inbox
from ipcmules.process import database, dispatch, hooks
from ipcmules.process.mule import deliver
from ipcmules.process.record import Record


def reads_shared(member: Membership) -> bool:
    """True if this signal-only mule has a use for the messages of the pool and of its farms."""
    farms = member.farms()
    number = member.number
    return (
        bool(hooks.message_hooks) or hooks.reads_pool(number) or hooks.reads_farm(number, farms.__contains__)
    )


def serve(member: Membership, record: Record) -> None:
    """Serve until SIGTERM: the receive raises SystemExit once everything queued is done."""
    inbox = member.inbox
    assert inbox is not None
    farms = member.farms()
    services = hooks.Services(
        get_message=lambda: inbox.get(None, True, True, dispatch.run_signal),
        get_farm_message=lambda name: inbox.get_farm(None, True, dispatch.run_signal, name),
        serve=lambda seconds: _serve_between(member, inbox, seconds),
        run=deliver.runner(member),
    )
    hooks.run_bodies(member.number, farms.__contains__, services)
    # Its @mule functions are over, and with them what might have called mule_get_msg().
    inbox.set_shared(bool(hooks.message_hooks))
    record.serving()
    _Loop(member, inbox).run()


def _serve_between(member: Membership, inbox: Inbox, seconds: float) -> None:
    """Handle the signals and messages that are there, and for so long those that come.

    Without a message hook the messages are for the function, which may receive them itself.
    """
    deadline = time.monotonic() + seconds
    while True:
        left = max(0.0, deadline - time.monotonic())
        if not hooks.message_hooks:
            number = inbox.wait_signal(left)
            if number is None:
                return
            dispatch.run_signal(number)
            continue
        message = inbox.get(left, True, True, dispatch.run_signal)
        if message is None:
            return
        deliver.run_hooks(member, message)


class _Loop:
    """Signals and messages, for ever."""

    def __init__(self, member: Membership, inbox: Inbox) -> None:
        self._member = member
        self._inbox = inbox
        self._shared = bool(hooks.message_hooks)

    def run(self) -> None:
        while True:
            message = self._inbox.get(None, True, True, self._run_signal)
            if message is not None:
                deliver.run_hooks(self._member, message)
                self._look_for_hooks()

    def _run_signal(self, shared: int) -> None:
        database.refresh()
        dispatch.run_signal(shared)
        database.refresh()
        self._look_for_hooks()

    def _look_for_hooks(self) -> None:
        """The app may install its first hook at run time: from then on this mule takes any message."""
        if not self._shared and hooks.message_hooks:
            self._shared = True
            self._inbox.set_shared(True)
