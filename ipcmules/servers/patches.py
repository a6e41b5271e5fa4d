"""Where gunicorn, granian and uvicorn load the application, begin to serve, and reload: a few functions of
theirs are wrapped, so that api/webworkers.py hears of it.

apply() is called with a module of theirs when it has been imported. A name that is not there is a version
that is not known: the log says so, and the server's processes are treated as those of an unknown server.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ipcmules.api import webworkers

#: How many workers the server of this process has, 0 where that is not known. A forked child has it from its
#: parent.
_workers: Callable[[], int] = lambda: 0  # noqa: E731
#: The pid of granian's parent process; its forked children have it too.
_granian_parent = 0


def apply(module: ModuleType) -> None:
    """Wrap what matters in a module of a server."""
    try:
        _PATCHES[module.__name__](module)
    except AttributeError as error:
        from ipcmules.bus import log

        log.event(
            "warning",
            f"this version of {module.__name__.partition('.')[0]} is not known ({error}): its processes take "
            "numbers when they register something, and run no @postfork functions",
        )


def _before(owner: Any, name: str, tell: Callable[[Any], None]) -> None:
    """Have tell(first argument) called before a function."""
    function = getattr(owner, name)

    @functools.wraps(function)
    def wrapped(first: Any, *arguments: Any, **named: Any) -> Any:
        tell(first)
        return function(first, *arguments, **named)

    setattr(owner, name, wrapped)


# gunicorn


def _gunicorn_arbiter(module: ModuleType) -> None:
    make = module.Arbiter.__init__

    @functools.wraps(make)
    def init(arbiter: Any, app: Any) -> None:
        webworkers.supervise("gunicorn", "HUP")
        if app.cfg.preload_app:  # it loads the application now, for its workers
            webworkers.preload(lambda: make(arbiter, app))
        else:
            make(arbiter, app)
        _arbiter_made(arbiter)

    module.Arbiter.__init__ = init


def _arbiter_made(arbiter: Any) -> None:
    global _workers
    _workers = lambda: int(arbiter.num_workers)  # noqa: E731
    if (
        arbiter.cfg.preload_app
    ):  # SIGHUP brings no new code then (gunicorn's documentation, "Signal Handling")
        webworkers.supervise("gunicorn", "restart")


def _gunicorn_worker(module: ModuleType) -> None:
    _load_wsgi_of(module.Worker)
    # Its worker for ASGI, and classes of others, may have one of their own.
    module.Worker.__init_subclass__ = classmethod(
        lambda made: _load_wsgi_of(made) if "load_wsgi" in vars(made) else None
    )


def _load_wsgi_of(worker_class: Any) -> None:
    load = worker_class.load_wsgi

    @functools.wraps(load)
    def load_wsgi(worker: Any) -> None:
        webworkers.load(lambda: load(worker), _workers())
        webworkers.begin(_workers())

    worker_class.load_wsgi = load_wsgi


# granian


def _granian_loading(module: ModuleType) -> None:
    load = module.load_target

    @functools.wraps(load)  # its name too: a spawned process finds it by that
    def load_target(*arguments: Any, **named: Any) -> Any:
        _obey_stops()
        application = webworkers.load(lambda: load(*arguments, **named), _workers())
        webworkers.begin(_workers())
        return application

    setattr(module, "load_target", load_target)  # noqa: B010 # mypy knows no such name


def _obey_stops() -> None:
    """A worker of granian's ends at a SIGTERM while it loads the application.

    It has its parent's handler until it serves, which loses the stop; granian then waits for it for ever.
    """
    if _granian_parent not in (0, os.getpid()):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _granian_server(module: ModuleType) -> None:
    # A program that gives granian a loader of its own is seen here only.
    for name in ("ASGIWorker", "RSGIWorker", "WSGIWorker"):
        made = getattr(module, name)

        def make(*arguments: Any, _made: Any = made) -> Any:
            webworkers.begin(_workers())
            return _made(*arguments)

        setattr(module, name, make)


def _granian_processes(module: ModuleType) -> None:
    _granian_server(module)
    _before(module.MPServer, "startup", _granian_starts)


def _granian_starts(server: Any) -> None:
    global _workers, _granian_parent
    _workers = lambda: int(server.workers)  # noqa: E731
    _granian_parent = os.getpid()
    webworkers.supervise("granian", "HUP")


# uvicorn


def _uvicorn_config(module: ModuleType) -> None:
    _load_of(module.Config, "load")
    if hasattr(module.Config, "load_app"):  # newer ones load the application first, and then what serves it
        _load_of(module.Config, "load_app")


def _load_of(config_class: Any, name: str) -> None:
    load = getattr(config_class, name)

    @functools.wraps(load)
    def load_application(config: Any) -> Any:
        return webworkers.load(lambda: load(config), _uvicorn_workers(config))

    setattr(config_class, name, load_application)


def _uvicorn_server(module: ModuleType) -> None:
    _before(
        module.Server,
        "startup",
        lambda server: webworkers.begin(_uvicorn_workers(server.config), "uvicorn"),
    )


def _uvicorn_workers(config: Any) -> int:
    workers = int(getattr(config, "workers", 0) or 0)
    return workers if workers > 1 else _workers()


def _uvicorn_multiprocess(module: ModuleType) -> None:
    # Before uvicorn 0.30 SIGHUP ended it.
    reload = "HUP" if hasattr(module.Multiprocess, "handle_hup") else "restart"
    _before(module.Multiprocess, "__init__", lambda _supervisor: webworkers.supervise("uvicorn", reload))


def _uvicorn_reload(module: ModuleType) -> None:
    _before(module.BaseReload, "__init__", lambda _supervisor: webworkers.supervise("uvicorn", "restart"))


_PATCHES: dict[str, Callable[[ModuleType], None]] = {
    "gunicorn.arbiter": _gunicorn_arbiter,
    "gunicorn.workers.base": _gunicorn_worker,
    "granian._internal": _granian_loading,
    "granian.server.mp": _granian_processes,
    "granian.server.mt": _granian_server,
    "uvicorn.config": _uvicorn_config,
    "uvicorn.server": _uvicorn_server,
    "uvicorn.supervisors.basereload": _uvicorn_reload,
    "uvicorn.supervisors.multiprocess": _uvicorn_multiprocess,
}
