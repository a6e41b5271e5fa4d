"""Serving signals by itself: what makes an attached process with handlers a worker, and keeps it one.

Knows membership, serving and dispatch. Owns the one Server of this process. Rules (docs/reference.md,
"Workers"): a process that is attached and has registered anything serves signals on a daemon thread; a
forked child does so for itself; a process that forks by itself after it began to serve (gunicorn's
arbiter with --preload) gives its number up to its children; one whose bus ended joins the next of its name.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ipcmules import membership
from ipcmules.errors import IpcMulesError
from ipcmules.membership import Membership

if TYPE_CHECKING:
    from ipcmules.serving import Server

#: A forked child that replaces itself by another program at once must not take a number with it:
#: exec(2) keeps pid and start time. So its thread begins a little later.
_CHILD_DELAY = 0.05
#: How often a process whose bus has ended looks for the next one, seconds.
_REJOIN = 1.0

#: Callers of fork() whose child is a helper of the process, not its replacement as a worker.
_HELPERS = ("multiprocessing", "multiprocess", "subprocess", "concurrent")

_server: Server | None = None
#: What also_when() was told.
_others: list[tuple[Callable[[], bool], Callable[[Membership], None]]] = []
_starting = threading.Lock()
_gave_up = False
#: The thread that looks for the successor of a bus that has ended, if one does.
_rejoining: threading.Thread | None = None
_hooks_installed = False


def ensure(member: Membership) -> None:
    """Begin to serve if this process should: attached, with something registered, and not given up."""
    if (
        member.role != "attached"
        or _gave_up
        or _server is not None
        or not (membership.registry.registrations() or any(wanted() for wanted, _ in _others))
    ):
        return
    _start(member)


def also_when(wanted: Callable[[], bool], served: Callable[[Membership], None]) -> None:
    """Another reason to serve than signals: wanted() says if it is one, served(member) hears of the
    number."""
    _others.append((wanted, served))


def server(member: Membership) -> Server:
    """The Server of this process, started if need be; for signal_wait(), which serves explicitly."""
    global _gave_up
    _gave_up = False
    _start(member)
    assert _server is not None
    return _server


def _start(member: Membership) -> None:
    global _server
    with _starting:
        if _server is None:
            from ipcmules.mule import dispatch
            from ipcmules.serving import Server

            _server = Server(member, dispatch.run_signal, _bus_gone)
            _install_hooks()
            for _, served in _others:
                served(member)


def stop() -> None:
    """Stop serving and give the number back; the next registration begins anew."""
    global _server, _rejoining
    with _starting:
        ended, _server, _rejoining = _server, None, None
    if ended is not None:
        ended.stop()


def _bus_gone() -> None:
    """Runs on the serving thread after the bus has ended: look for its successor, as long as it takes."""
    global _server, _rejoining
    with _starting:
        if _server is None:
            return  # stopped meanwhile
        _server, _rejoining = None, threading.current_thread()
    member = membership.peek()
    if member is None:
        return
    membership.leave()
    while membership.peek() is None and _rejoining is threading.current_thread():
        try:
            membership.join(member.where, "attached")
        except IpcMulesError:
            time.sleep(_REJOIN)


def _install_hooks() -> None:
    global _hooks_installed
    if _hooks_installed:
        return
    _hooks_installed = True
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
    atexit.register(stop)


def _before_fork() -> None:
    global _gave_up
    if _server is None or _server.explicit or _forked_for_help():
        return
    _gave_up = True
    stop()


def _forked_for_help() -> bool:
    caller = sys._getframe(2)
    return str(caller.f_globals.get("__name__", "")).partition(".")[0] in _HELPERS


def _after_fork() -> None:
    global _server, _starting, _gave_up
    inherited, _server = _server, None
    _starting = threading.Lock()
    serving, _gave_up = inherited is not None or _gave_up, False
    if inherited is not None:
        inherited.forget()
    member = membership.peek()
    if serving and member is not None and member.role == "attached":
        threading.Thread(target=_start_later, name="ipcmules-start", daemon=True).start()


def _start_later() -> None:
    time.sleep(_CHILD_DELAY)
    member = membership.peek()
    if member is not None:
        ensure(member)


membership.on_join.append(ensure)
