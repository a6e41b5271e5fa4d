"""The flat functions of signals: register_signal, signal, signal_wait and the rest, as in uWSGI's module.

Knows membership, presence and, for other servers, the wire; keeps no state but what makes a raise short.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ipcmules.api.calls import after_stop, checked_timeout, run_signal
from ipcmules.errors import BusStopped, SignalError
from ipcmules.kernel.exhaustion import importing
from ipcmules.member import inlining, membership
from ipcmules.member.membership import Membership

if TYPE_CHECKING:
    from ipcmules.member.serving import Waiter

Handler = Callable[[int], Any]

_raisers = membership.raisers

#: How long a raise waits for a successor that is being made, when its bus has ended, seconds.
_PATIENCE = 5.0


def register_signal(signum: int, target: str, handler: Handler) -> None:
    """Say who handles a signal (see docs/targets.md), and how this process does.

    signum: 0 to 255. handler is called with the number. Works before there is a bus: recorded, and
    published when this process joins one. Raises SignalError for a number or target that cannot be, or
    a number that another handler has. From uWSGI's register_signal.
    """
    membership.registry.register(signum, target, handler)
    registered()


def registered() -> None:
    """After a registration: join the bus this process belongs to, if there is one, and serve."""
    member = membership.find()
    if member is not None and not member.ended():
        with importing:
            from ipcmules.api import presence

        try:
            presence.ensure(member)
        except BusStopped:
            pass  # just now: it is recorded, and published where this process joins next


def signal(signum: int, address: str | None = None) -> None:
    """Raise a signal: its target's process calls its handler. Never blocks and is never lost.

    address: HOST:PORT or the path of a Unix socket, to raise it at another server (--socket, uWSGI) and
        wait for its word: OSError if that cannot be reached, ValueError if it is refused.
    """
    if address is not None:
        with importing:
            from ipcmules.signals.registry import check_number
            from ipcmules.wire import packets

        packets.send_signal(check_number(signum), address)
        return
    try:
        raise_it = _raisers.get(signum)
    except TypeError:
        raise_it = None
    if raise_it is None:
        raise_it = _raiser(signum)
    try:
        raise_it()
    except BusStopped as error:
        after_stop(f"signal {signum} was not raised{_for_whom(error)}; raise it", _PATIENCE)
        _raise_again(signum, error)


def _raise_again(signum: int, error: BusStopped) -> None:
    """On the successor of a bus that ended under a raise: for all of its targets, or those it missed."""
    with importing:
        from ipcmules.signals.raiser import PartlyRaised

    if isinstance(error, PartlyRaised):
        membership.current().raiser.raise_at(membership.registry.shared(signum), error.endpoints)
    else:
        _raiser(signum)()


def _for_whom(error: BusStopped) -> str:
    endpoints = getattr(error, "endpoints", ())
    return f" for {', '.join(endpoints)}" if endpoints else ""


def _raiser(signum: int) -> Callable[[], None]:
    """The function that raises a signal, remembered for the next time once the signal is registered."""
    shared = membership.registry.shared(signum)
    inline = inlining.current
    if inline is not None:
        return lambda: inline.signal(signum)
    raise_it = membership.current().raiser.bind(shared)
    if membership.registry.shared(signum) == shared:
        _raisers[signum] = raise_it
    return raise_it


def signal_registered(signum: int) -> bool:
    """True if this process has registered the signal."""
    return membership.registry.registered(signum)


def signal_received() -> int:
    """The number of the last signal this process handled, 0 if none."""
    if inlining.current is not None:
        return inlining.current.last_signal()
    member = membership.peek()
    return member.last_signal if member is not None else 0


def signal_wait(signum: int | None = None, timeout: float | None = None) -> int | None:
    """Wait for a signal addressed to this process, run its handler, and return its number.

    signum: go on until this one came. timeout: seconds, None waits for ever.
    Returns None when the timeout is over. A number that nobody registered goes to whoever waits here.
    Raises BusStopped when the bus ends. From uWSGI's signal_wait, which returns b"".
    """
    member = membership.current()
    if signum is not None:
        membership.registry.shared(signum)
    deadline = None if timeout is None else time.monotonic() + checked_timeout(timeout)
    if member.inbox is not None:
        return _wait_in(member.inbox.wait_signal, member, signum, deadline)
    if member.role == "spooler":
        raise SignalError(
            "a spooler handles its signals between two tasks, it cannot wait for one: use a mule"
        )
    if member.role == "child":
        raise SignalError("a process forked by a mule or worker receives no signals: wait in the mule itself")
    with importing:
        from ipcmules.api import presence

    with presence.server(member).guest() as waiter:
        return _wait_at(waiter, member, signum, deadline)


def _wait_at(waiter: Waiter, member: Membership, signum: int | None, deadline: float | None) -> int | None:
    with importing:
        from ipcmules.member.serving import BusGone

    cells, listening = waiter.listening()
    try:
        cells[listening] = 1
        return _wait_in(waiter.take, member, signum, deadline)
    except BusGone:
        raise BusStopped(f"bus {member.where.bus!r} ended while this process waited for a signal") from None
    finally:
        cells[listening] = 0  # not a call: it could be interrupted


def _wait_in(
    take: Callable[[float | None], int | None], member: Membership, signum: int | None, deadline: float | None
) -> int | None:
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        shared = take(left)
        if shared is None:
            if left is None:
                continue
            if left <= 0 or time.monotonic() >= (deadline or 0.0):
                return None
            continue
        run_signal(shared, unregistered="ignore")
        number = membership.registry.local(shared)
        if signum is None or number == signum:
            return number
