"""Giving a message to the hooks of a signal-only mule, and what becomes of it if none took it or one raised.

Knows the hooks, dispatch and kept messages. A hook that raises is logged by dispatch; with --on-hook-error
keep its message becomes a dead letter as well, once, however many hooks raised.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ipcmules import log
from ipcmules.membership import Membership
from ipcmules.messages import kept
from ipcmules.mule import dispatch, hooks

Function = Callable[..., Any]


def run_hooks(member: Membership, message: bytes) -> None:
    """Give a message to every hook of this signal-only mule; without any it is a dead letter."""
    functions = hooks.hooks_for(message)
    if not functions:
        _keep(member, message, "the mule is signal-only and has no message hook (install_mule_msg_hook)", 0)
        return
    raised = [_run(function, "a message hook", message) for function in functions]
    _after(member, message, raised)


def runner(member: Membership) -> Callable[..., None]:
    """What dispatch.run is for bodies: the messages of @mulemsg and @farm functions are kept likewise."""

    def run(function: Function, what: str, *arguments: Any) -> None:
        if arguments and isinstance(arguments[0], bytes):
            _after(member, arguments[0], [_run(function, what, arguments[0])])
        else:
            dispatch.run(function, what, *arguments)

    return run


def _run(function: Function, what: str, message: bytes) -> str:
    """Call a function with a message. Returns what it raised, for people; '' if nothing."""
    raised = ""

    # dispatch logs and counts what comes out of it; here it is only seen.
    @functools.wraps(function)
    def seen(data: bytes) -> object:
        nonlocal raised
        try:
            return function(data)
        except Exception as error:
            raised = f"{what}, {getattr(function, '__qualname__', function)!r}, raised {error!r}"
            raise

    dispatch.run(seen, what, message)
    return raised


def _after(member: Membership, message: bytes, raised: list[str]) -> None:
    reasons = [each for each in raised if each]
    if reasons and member.description.config.on_hook_error == "keep":
        _keep(member, message, "; ".join(reasons), 1)


def _keep(member: Membership, message: bytes, reason: str, attempts: int) -> None:
    name = f"mule{member.number}"
    try:
        kept.keep(member.where, message, name, reason, name, attempts=attempts)
    except OSError as error:
        log.event(
            "error",
            f"a message of {len(message)} bytes is lost: {reason}, and it could not be kept in "
            f"{member.where.kept}: {error}",
        )
