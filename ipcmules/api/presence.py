"""Serving signals by itself: what makes an attached process with handlers a worker, and keeps it one.

Knows membership, serving and dispatch. Owns the one Server of this process. Rules
(docs/reference/web-servers.md): what was said counts (say()): a web server's worker serves, its parent
does not. Where nothing was said, a process that is attached and has registered anything serves signals on a
daemon thread; a forked child does so for itself; a process that forks by itself after it began to serve
(a server's parent that nobody knows) gives its number up to its children. One whose bus ended joins the next
of its name.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from ipcmules.bus.places import SERVE_VARIABLE
from ipcmules.errors import IpcMulesError
from ipcmules.kernel import unpatched
from ipcmules.kernel.interruption import noted
from ipcmules.kernel.undisturbed import undisturbed
from ipcmules.member import membership
from ipcmules.member.membership import Membership

if TYPE_CHECKING:
    from ipcmules.member.serving import Server

#: A forked child that replaces itself by another program at once must not take a number with it:
#: exec(2) keeps pid and start time. So its thread begins a little later.
_CHILD_DELAY = 0.05
#: How often a process whose bus has ended looks for the next one, seconds.
_REJOIN = 1.0

#: Callers of fork() whose child is a helper of the process, not its replacement as a worker.
_HELPERS = ("multiprocessing", "multiprocess", "subprocess", "concurrent")

#: What runs the commands of Django and Flask, and which of those are servers; all others do one thing and
#: end, or are a shell.
_SCRIPTS = ("manage.py", "django-admin", "flask")
_SERVERS = frozenset(["rungunicorn", "run_gunicorn", "runserver", "runserver_plus", "run", "testserver"])

_server: Server | None = None
#: Whether this process is to serve; None: by the rules.
_said: bool | None = None
#: What also_when() was told.
_others: list[tuple[Callable[[], bool], Callable[[Membership], None]]] = []
_starting = unpatched.RLock()
_gave_up = False
#: The thread that looks for the successor of a bus that has ended, if one does.
_rejoining: int | None = None
_hooks_installed = False


def ensure(member: Membership) -> None:
    """Begin to serve if this process should: attached, with something registered, and not given up."""
    if member.worker:
        _tell_handlers(member)
    if member.role != "attached" or _gave_up or _server is not None or not may_serve():
        return
    if _said or membership.registry.registrations() or any(wanted() for wanted, _ in _others):
        _start(member)


def may_serve() -> bool:
    """False where this process is to serve nothing by itself; signal_wait() is its own affair."""
    if _said is not None:
        return _said
    variable = os.environ.get(SERVE_VARIABLE)
    return variable != "0" if variable else not _is_one_off()


def _is_one_off() -> bool:
    """True for a command of Django or Flask that is no server (manage.py shell, a project's own)."""
    words = sys.argv[:2]
    return len(words) == 2 and os.path.basename(words[0]) in _SCRIPTS and words[1] not in _SERVERS


def say(serves: bool | None) -> None:
    """From now on this process serves, with or without handlers, or does not; None: by the rules."""
    global _said, _gave_up
    _said = serves
    if serves:
        _gave_up = False
    member = membership.peek()
    if serves is False:
        stop()
    elif member is not None:
        ensure(member)


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
    _server.explicit = True
    _tell_handlers(member)
    return _server


def _tell_handlers(member: Membership) -> None:
    with undisturbed:
        from ipcmules.member import workers

    workers.tell_handlers(member, everything=_server is not None and _server.explicit)


def is_serving() -> bool:
    """True if this process serves signals by itself."""
    return _server is not None


def _start(member: Membership) -> None:
    global _server
    with _starting:
        if _server is None:
            with undisturbed:
                from ipcmules.member.serving import Server
                from ipcmules.process import dispatch

            made: list[Server] = []
            try:
                server = noted(made, Server, member, dispatch.run_signal, _bus_gone)
                if is_serving():  # a signal handler of the program was faster
                    server.stop()
                    return
                _server = server
            except BaseException:
                for each in made:
                    each.stop()
                raise
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


def _bus_gone(server: Server) -> None:
    """Runs on the serving thread after the bus has ended: look for its successor, as long as it takes."""
    global _server, _rejoining
    with _starting:
        if _server is not server:
            return  # stopped meanwhile, and this process may be on another bus by now
        _server, _rejoining = None, unpatched.get_ident()
    member = membership.peek()
    if member is None:
        return
    membership.leave()
    while membership.peek() is None and _rejoining == unpatched.get_ident():
        try:
            membership.join(member.where, "attached")
        except (IpcMulesError, OSError):  # it is not there yet, or no descriptor is
            unpatched.sleep(_REJOIN)


def _install_hooks() -> None:
    global _hooks_installed
    if _hooks_installed:
        return
    _hooks_installed = True
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
    atexit.register(stop)


def _before_fork() -> None:
    global _gave_up
    if _server is None or _said or _server.explicit or _forked_for_help():
        return
    _gave_up = True
    stop()


def _forked_for_help() -> bool:
    caller = sys._getframe(2)
    return str(caller.f_globals.get("__name__", "")).partition(".")[0] in _HELPERS


def _after_fork() -> None:
    global _server, _starting, _gave_up, _said
    if _said:
        _said = False  # a web worker's children are no workers
    inherited, _server = _server, None
    _starting = unpatched.RLock()
    serving, _gave_up = inherited is not None or _gave_up, False
    if inherited is not None:
        inherited.forget()
    member = membership.peek()
    if serving and member is not None and member.role == "attached":
        unpatched.thread(_start_later, "ipcmules-start").start()


def _start_later() -> None:
    unpatched.sleep(_CHILD_DELAY)
    member = membership.peek()
    if member is not None:
        ensure(member)


membership.on_join.append(ensure)
