"""Giving a message to the hooks of a signal-only mule, and what becomes of it if none took it or one raised.

Knows the hooks, dispatch and kept messages. A hook that raises is logged by dispatch; with --on-hook-error
keep its message becomes a dead letter as well, once, however many hooks raised.

In a mule that receives by itself the calls of @mulefunc functions run within the receive. One that it has
received stands in _calls until its function is called, in one stretch with that: if a signal handler of the
program raises in between, the next receive runs it (kernel/interruption.py).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

from ipcmules.bus import log
from ipcmules.functions import coroutines, tracing
from ipcmules.kernel import unpatched
from ipcmules.kernel.printable import shown
from ipcmules.member import membership
from ipcmules.member.membership import Membership
from ipcmules.messages import kept
from ipcmules.process import database, dispatch, hooks

Function = Callable[..., Any]

#: A dead letter that nothing takes is tried again so often, seconds.
_AGAIN = 0.5
#: By thread: the call that it has received and not begun.
_calls: dict[int, bytes] = {}


os.register_at_fork(after_in_child=_calls.clear)


def past_calls(member: Membership, receive: Callable[[], bytes | None]) -> bytes | None:
    """What receive() returns first that is no call of a @mulefunc function; those run here."""
    me = unpatched.get_ident()
    prefix = membership.carried
    size = len(prefix)
    while True:
        call = _calls.get(me)
        if call is None:
            message = receive()
            # From here on no call and no loop: it is returned, or stands where the next receive finds it.
            if message is None or message[:size] != prefix:
                return message
            call = _calls[me] = message
        run_hooks(member, call, me)


def run_hooks(member: Membership, message: bytes, caller: int | None = None) -> None:
    """Give a message to every hook of this signal-only mule; without any it is a dead letter.

    caller: the thread in whose name it stands in _calls; only if it stands there still.
    """
    functions = hooks.hooks_for(message)
    if not functions:
        _keep(member, message, "the mule is signal-only and has no message hook (install_mule_msg_hook)", 0)
        return
    raised = [_run(function, "a message hook", message, caller) for function in functions]
    if caller is not None and _calls.get(caller) is message:
        return  # interrupted before it had begun: it is run once more
    _after(member, message, raised)


def runner(member: Membership) -> Callable[..., None]:
    """What dispatch.run is for bodies: the messages of @mulemsg and @farm functions are kept likewise."""

    def run(function: Function, what: str, *arguments: Any) -> None:
        if arguments and isinstance(arguments[0], bytes):
            _after(member, arguments[0], [_run(function, what, arguments[0])])
        else:
            dispatch.run(function, what, *arguments)

    return run


def _run(function: Function, what: str, message: bytes, caller: int | None = None) -> str:
    """Call a function with a message. Returns what it raised, for people; '' if nothing."""
    name = coroutines.name_of(function)
    call = tracing.of_call(message) if message.startswith(membership.carried) else None
    if call is not None:
        function = tracing.traced(function, f"call {call[0]}", call[1])
    elif tracing.is_active():
        function = tracing.traced(function, what, tracing.of_message(_context()))
    outcome = f"{what}, {name!r}, was interrupted before it had begun"

    # dispatch logs and counts what comes out of it; here it is only seen.
    @functools.wraps(function)
    def seen(data: bytes) -> object:
        nonlocal outcome
        try:
            if caller is not None:
                if caller not in _calls or _calls[caller] is not data:
                    outcome = ""  # a signal handler of the program has received it meanwhile
                    return None
                # In one stretch with the call: until then it can be received again.
                del _calls[caller]
            returned = function(data)
            outcome = ""
            return returned if returned is None else coroutines.finish(returned, name)
        except Exception as error:
            outcome = f"{what}, {name!r}, raised {shown(error)}"
            raise

    database.refresh()
    dispatch.run(seen, what, message)
    database.refresh()
    return outcome


def _context() -> bytes:
    """What came with the message that this thread has in hand."""
    member = membership.peek()
    return b"" if member is None or member.inbox is None else member.inbox.context()


def _after(member: Membership, message: bytes, raised: list[str]) -> None:
    reasons = [each for each in raised if each]
    if reasons and member.description.config.on_hook_error == "keep":
        _keep(member, message, "; ".join(reasons), 1)


def _keep(member: Membership, message: bytes, reason: str, attempts: int) -> None:
    """Make it a dead letter. While nothing takes that it stays in hand, where a kill leaves it, too."""
    name, waits = f"mule{member.number}", False
    while True:
        try:
            kept.keep(member.where, message, name, reason, name, attempts=attempts)
            return
        except OSError as error:
            if not waits:
                log.event(
                    "error",
                    f"a message of {len(message)} bytes cannot be kept in {member.where.kept} ({error}): "
                    f"this mule waits until it can, with the message in hand; {reason}",
                )
            waits = True
        unpatched.sleep(_AGAIN)
