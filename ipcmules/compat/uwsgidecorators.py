"""The module `uwsgidecorators` as ipcmules provides it: uWSGI's decorators over those of ipcmules.

`from uwsgidecorators import *` gives what it gives there. What the decorators record is ipcmules' own: the
hooks
of the uwsgi module (mule_msg_hook, post_fork_hook, spooler) stay the app's.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from functools import partial
from threading import Thread
from typing import Any

from ipcmules import decorators as _decorators
from ipcmules.compat import uwsgi
from ipcmules.compat.chains import manage_spool_request, postfork_chain, postfork_chain_hook
from ipcmules.decorators import (
    farm,
    harakiri,
    mule,
    mulefunc,
    muleloop,
    mulemsg,
    postfork,
    signal,
    tasks,
    thread,
)
from ipcmules.decorators import lock as _lock
from ipcmules.functions import coroutines
from ipcmules.spooler import results

#: What a star import gives there, names that the module imports itself included.
__all__ = [
    "Thread",
    "cron",
    "erlang",
    "farm",
    "farm_loop",
    "filemon",
    "get_free_signal",
    "harakiri",
    "lock",
    "manage_spool_request",
    "mstimer",
    "mule",
    "mule_brain",
    "mule_brainloop",
    "mule_functions",
    "mule_msg_dispatcher",
    "mulefunc",
    "muleloop",
    "mulemsg",
    "mulemsg_loop",
    "partial",
    "pickle",
    "postfork",
    "postfork_chain",
    "postfork_chain_hook",
    "rbtimer",
    "rpc",
    "signal",
    "spool",
    "spool_decorate",
    "spooler_functions",
    "spoolforever",
    "spoolraw",
    "sys",
    "thread",
    "timer",
    "uwsgi",
]

#: Registries of uWSGI's module that code may look into; ipcmules keeps its own.
spooler_functions: dict[str, Callable[..., Any]] = {}
mule_functions: dict[str, Callable[..., Any]] = {}


def get_free_signal() -> int:
    """The lowest number that this process has not registered. Raises Exception when all are taken."""
    for number in range(256):
        if not uwsgi.signal_registered(number):
            return number
    raise Exception("No free uwsgi signal available")


def mule_msg_dispatcher(message: bytes) -> Any:
    """Run a call that uWSGI's own @mulefunc packed."""
    call = pickle.loads(message)
    if call["service"] == "uwsgi_mulefunc":
        return mule_functions[call["func"]](*call["args"], **call["kwargs"])
    return None


def timer(secs: float, **kwargs: Any) -> Callable[..., Any]:
    """@timer(30, target="mule"): every so many seconds. signum= chooses the signal. 0 never fires, as
    there."""
    if secs <= 0:
        return signal(kwargs.get("signum"), kwargs.get("target", ""))
    return _decorators.timer(secs, **kwargs)


def mstimer(msecs: float, **kwargs: Any) -> Callable[..., Any]:
    """@mstimer(500): every so many milliseconds."""
    return _decorators.mstimer(msecs, **kwargs)


def rbtimer(secs: float, **kwargs: Any) -> Callable[..., Any]:
    """@rbtimer(30): as @timer."""
    return _decorators.rbtimer(secs, **kwargs)


def cron(
    minute: Any,
    hour: int | None = None,
    day: int = -1,
    month: int = -1,
    dayweek: int = -1,
    **kwargs: Any,
) -> Callable[..., Any]:
    """@cron(minute, hour, day, month, dayweek): -1 is any. @cron("*/5 * * * *") is an addition."""
    fields = (minute,) if hour is None else (minute, hour, day, month, dayweek)
    return _decorators.cron(*fields, **kwargs)


def filemon(fsobj: str, **kwargs: Any) -> Callable[..., Any]:
    """@filemon("/tmp"): when it changes."""
    return _decorators.filemon(fsobj, **kwargs)


def _spooled(name: str, f: Callable[..., Any] | None, pass_arguments: bool, result: int | None) -> Any:
    if uwsgi.masterpid() and "spooler" not in uwsgi.opt:
        raise Exception(f"you have to enable the uWSGI spooler to use @_{name} decorator")
    return tasks.decorated(f, result, pass_arguments, kind=_Spooled)


class _Spooled(tasks.Spooled[..., Any]):
    """A decorated function, whose calls return bytes as there."""

    def __call__(self, *args: Any, **kwargs: Any) -> bytes:  # type: ignore[override] # uWSGI's type
        """Enqueue a task; the path of its file."""
        return os.fsencode(super().__call__(*args, **kwargs))

    spool = __call__  # type: ignore[assignment] # as above


def spool(f: Callable[..., Any] | None = None, pass_arguments: bool = False) -> Any:
    """Run a function in a spooler, once."""
    return _spooled("spool", f, pass_arguments, results.SPOOL_OK)


def spoolraw(f: Callable[..., Any] | None = None, pass_arguments: bool = False) -> Any:
    """Run a function in a spooler; it returns SPOOL_OK, SPOOL_RETRY or SPOOL_IGNORE."""
    return _spooled("spoolraw", f, pass_arguments, None)


def spoolforever(f: Callable[..., Any] | None = None, pass_arguments: bool = False) -> Any:
    """Run a function in a spooler again and again."""
    return _spooled("spoolforever", f, pass_arguments, results.SPOOL_RETRY)


spool_decorate = spoolraw


class rpc:  # noqa: N801 # uWSGI's name
    """@rpc("name"): register_rpc(name, function)."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """Register the function, and return it."""
        uwsgi.register_rpc(self.name, f)
        return f


class erlang:  # noqa: N801 # uWSGI's name
    """@erlang: uWSGI's Erlang nodes are not here."""

    def __init__(self, name: str) -> None:
        raise NotImplementedError(
            f"@erlang({name!r}): there are no Erlang nodes here: use a message or a signal"
        )


def lock(f: Callable[..., Any]) -> Callable[..., Any]:
    """Run a function under lock 0; in a spooler it is not called, as there."""
    import functools

    locked = _lock(f)

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        return None if uwsgi.i_am_the_spooler() else locked(*args, **kwargs)

    return call


# What uWSGI's module puts into postfork_chain. Ours does not; code that builds its own chain may.


class mule_brain:  # noqa: N801 # uWSGI's name
    """Run a function in one mule."""

    def __init__(self, f: Callable[[], Any], num: int) -> None:
        self.f = f
        self.num = num

    def __call__(self) -> None:
        """Run it, where this is that mule."""
        if uwsgi.mule_id() == self.num:
            coroutines.call(self.f)


class mule_brainloop(mule_brain):  # noqa: N801 # uWSGI's name
    """Run a function in one mule for ever."""

    def __call__(self) -> None:
        """Run it, where this is that mule; never returns there."""
        while uwsgi.mule_id() == self.num:
            coroutines.call(self.f)


class mulemsg_loop:  # noqa: N801 # uWSGI's name
    """Give the messages of one mule to a function."""

    def __init__(self, f: Callable[[bytes], Any], num: int) -> None:
        self.f = f
        self.num = num

    def __call__(self) -> None:
        """Receive, where this is that mule; never returns there."""
        while uwsgi.mule_id() == self.num:
            message = uwsgi.mule_get_msg()
            if message:
                coroutines.call(self.f, message)


class farm_loop:  # noqa: N801 # uWSGI's name
    """Give the messages of a farm to a function."""

    def __init__(self, f: Callable[[bytes], Any], farm: str) -> None:
        self.f = f
        self.farm = farm

    def __call__(self) -> None:
        """Receive, where this is a mule of that farm; never returns there."""
        while uwsgi.mule_id() and uwsgi.in_farm(self.farm):
            message = uwsgi.farm_get_msg()
            if message:
                coroutines.call(self.f, message)
