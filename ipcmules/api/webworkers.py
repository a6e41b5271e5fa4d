"""A process of a web server as a worker of the bus, as uWSGI's workers are.

The servers that are known say in which process they load the application, in which they begin to serve
requests, and which one is their parent (ipcmules.servers). Knows presence, the hooks and how an app is
loaded. Nothing here may keep a server from serving: what goes wrong is logged.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from ipcmules.api import presence
from ipcmules.errors import IpcMulesError
from ipcmules.kernel.exhaustion import importing
from ipcmules.member import membership
from ipcmules.signals.identity import loads

if TYPE_CHECKING:
    from ipcmules.bus.config import BusConfig
    from ipcmules.kernel.processes import ProcessId
    from ipcmules.member.membership import Membership

Result = TypeVar("Result")

#: The process that has begun to serve requests.
_begun = 0
#: The process that loads the application now.
_loading = 0
#: The process that has run --hook-post-fork.
_hooked = 0


def supervise(kind: str, reload: str) -> None:
    """This process is a web server's parent: it serves no signals, whatever it has loaded for its workers.

    kind: the server's name. reload: how it loads its code again, 'HUP' or 'restart'.
    """
    presence.say(False)
    _report(kind, reload)


def _report(kind: str, reload: str) -> None:
    member = _membership()
    if member is None:
        return
    with importing:
        from ipcmules.bus import webservers

    try:
        webservers.report(member.where, kind, reload)
    except OSError as error:
        _log(f"the web server cannot be told to the bus, so a reload will not reach it: {error}")


@loads
def load(application: Callable[[], Result], siblings: int = 0) -> Result:
    """In a process that will serve requests: load what --import names, then what the server loads."""
    with loading(siblings):
        return application()


@loads
def preload(application: Callable[[], Result]) -> Result:
    """As load(), in a server's parent, whose children serve: it takes no number."""
    with loading(claims=False):
        return application()


@contextlib.contextmanager
def loading(siblings: int = 0, claims: bool = True) -> Iterator[None]:
    """While the server loads the application; before it, what --import names is loaded.

    claims: with --lazy-apps the process has its number while it loads, as in uWSGI.
    """
    global _loading
    me = os.getpid()
    if me in (_begun, _loading):
        yield
        return
    presence.say(False)
    member = _membership()
    if member is None:
        yield
        return
    _loading = me
    membership.loading = True
    try:
        config = member.description.config
        if claims:
            _run_configured(config)
        if config.lazy_apps and claims:
            _claim(member, siblings)
        _load_imports(config)
        yield
    finally:
        _loading = 0
        membership.loading = False
        _publish()


def _run_configured(config: BusConfig) -> None:
    """Run --hook-post-fork once, before the application where this process loads it."""
    global _hooked
    if _hooked == os.getpid() or not config.worker_hooks:
        return
    _hooked = os.getpid()
    with importing:
        from ipcmules.process.mule import startup

    startup.run_in_worker(config)


def _publish() -> None:
    member = membership.peek()
    if member is None:
        return
    try:
        for each in membership.on_loaded:
            each(member)
    except IpcMulesError as error:
        _log(f"what the application registered could not be told to the bus: {error}")


def _load_imports(config: BusConfig) -> None:
    with importing:
        from ipcmules.bus import log
        from ipcmules.process import apps

    sys.path += [each for each in (*config.paths, config.directory) if each not in sys.path]
    for name in config.imports:
        try:
            apps.load_one(name)
        except Exception:
            log.exception(f"--import {name} could not be loaded in a web worker:")


def begin(siblings: int = 0, server: str = "") -> None:
    """This process begins to serve requests: it takes its number, runs the post-fork functions, then serves.

    siblings: how many such processes the server has, where that is known. server: the name of a server that
    has no parent process, if this is one.
    """
    global _begun
    if _begun == os.getpid():
        return
    _begun = os.getpid()
    if server and _begun_alone():
        _report(server, "restart")
    member = _membership()
    if member is not None:
        _claim(member, siblings)
    with importing:
        from ipcmules.process import dispatch, hooks

    if member is not None:
        _run_configured(member.description.config)
    hooks.run_post_fork("worker", member.worker if member is not None else 0, dispatch.run)
    try:
        presence.say(True)
    except Exception as error:  # no number, no descriptors, no thread: it serves requests without
        _log(f"this web worker serves no signals: {error}")


def _begun_alone() -> bool:
    """True unless a parent of this process has said that it is the web server."""
    member = _membership()
    if member is None:
        return False
    with importing:
        from ipcmules.bus import webservers
        from ipcmules.kernel import processes

    parents = processes.ancestors()
    return not any(each.process in parents for each in webservers.found(member.where))


def _claim(member: Membership, siblings: int) -> None:
    with importing:
        from ipcmules.member import workers

    try:
        workers.claim(member, siblings=siblings, parent=_parent(member, siblings))
    except (IpcMulesError, OSError) as error:
        _log(f"this web worker has no number: {error}")


def _parent(member: Membership, siblings: int) -> ProcessId:
    """Who starts another worker when this one has ended: the server's parent process.

    This process itself where there is none: the master starts it again, and says so (command_reload.py).
    """
    with importing:
        from ipcmules.bus import webservers
        from ipcmules.kernel import processes
        from ipcmules.kernel.processes import ProcessId

    pid = os.getppid()
    parent = ProcessId(pid, processes.start_time(pid))
    if siblings or any(each.process == parent for each in webservers.found(member.where)):
        return parent
    return processes.current()


def _membership() -> Membership | None:
    try:
        member = membership.find()
    except IpcMulesError as error:
        _log(f"this process of the web server is on no bus: {error}")
        return None
    return member if member is not None and member.role == "attached" and not member.ended() else None


def _log(text: str) -> None:
    with importing:
        from ipcmules.bus import log

    log.event("warning", text)
