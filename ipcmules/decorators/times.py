"""@timer, @mstimer, @rbtimer, @cron and @filemon: a function that is called at times, or when files change.

Each registers a signal whose handler the function is, with a number that is chosen (the same in every
process that loads the app) unless signum= gives one, and the event that raises it. The function is returned
unchanged. Names and use as in uWSGI's uwsgidecorators; part of ipcmules.decorators.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ipcmules.api import signals, timers
from ipcmules.kernel.exhaustion import importing
from ipcmules.member import membership
from ipcmules.signals.registry import Registration

if TYPE_CHECKING:
    from datetime import tzinfo

    from ipcmules.events.specs import Spec

F = TypeVar("F", bound=Callable[..., Any])


def timer(
    seconds: float, *, target: str = "", signum: int | None = None, overlap: bool = True
) -> Callable[[F], F]:
    """Call function(number) every so many seconds in the target: "mule", "mules", "worker1" ...
    (docs/targets.md).

    overlap: False skips a call while the former one is still going. Raises EventError as add_timer(),
    SignalError, TypeError as register_signal(). From uWSGI's @timer(secs, target=...).
    """
    with importing:
        from ipcmules.events import specs

    return _recurring(specs.timer(seconds, overlap=overlap), target, signum)


def mstimer(
    milliseconds: float, *, target: str = "", signum: int | None = None, overlap: bool = True
) -> Callable[[F], F]:
    """As @timer, in milliseconds. From uWSGI 2.1's @mstimer."""
    with importing:
        from ipcmules.events import specs

    return _recurring(specs.ms_timer(milliseconds, overlap=overlap), target, signum)


def rbtimer(
    seconds: float, iterations: int = 0, *, target: str = "", signum: int | None = None, overlap: bool = True
) -> Callable[[F], F]:
    """As @timer, so many times; 0 for ever. From uWSGI's @rbtimer, which has no iterations."""
    with importing:
        from ipcmules.events import specs

    return _recurring(specs.rb_timer(seconds, iterations, overlap=overlap), target, signum)


def cron(
    *when: int | str,
    target: str = "",
    signum: int | None = None,
    tz: str | tzinfo | None = None,
    overlap: bool = True,
) -> Callable[[F], F]:
    """Call function(number) at minutes: @cron(minute, hour, day, month, weekday) or @cron("*/5 * * * *").

    when, tz: as in add_cron(); the others as in @timer. From uWSGI's @cron(min, hour, day, mon, wday,
        target=...).
    """
    with importing:
        from ipcmules.events import specs

    return _recurring(specs.cron(*when, tz=tz, overlap=overlap), target, signum)


def filemon(
    path: str | os.PathLike[str],
    *,
    target: str = "",
    signum: int | None = None,
    recursive: bool = False,
    overlap: bool = True,
) -> Callable[[F], F]:
    """Call function(number) when a file, or what is in a directory, changes.

    path, recursive: as in add_file_monitor(). From uWSGI's @filemon(path, target=...).
    """
    with importing:
        from ipcmules.events import specs

    return _recurring(specs.monitor(path, recursive, overlap=overlap), target, signum)


def _recurring(spec: Spec, target: str, signum: int | None) -> Callable[[F], F]:
    def register(function: F) -> F:
        signal: int | Registration
        if signum is not None:
            signals.register_signal(signum, target, function)
            signal = signum
        else:
            signal = membership.registry.register_auto(target, function)
        timers.add(signal, spec)
        return function

    return register
