"""What @spool says beside what uWSGI's says, checked; and hooks for the tasks of all functions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from ipcmules.decorators.periods import schedule_of
from ipcmules.functions import coroutines
from ipcmules.spooler import keyed, manner
from ipcmules.spooler.calls import SpoolFunction
from ipcmules.spooler.manner import HOOKS, Manner

F = TypeVar("F", bound=Callable[..., Any])

#: One class of exceptions, or a tuple of them.
Exceptions = type[BaseException] | tuple[type[BaseException], ...]
#: A century: longer is a slip.
LONGEST = 3.2e9
#: The longest that a deadline can be away (process/harakiri.py), seconds.
_LONGEST_LIMIT = 1e9
#: As many spoolers a bus may have (options/spooler.py).
_MOST_AT_ONCE = 4096
_RATE = re.compile(r"(\d{1,9})/(\d{1,9})?([smhd])", re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def manner_of(**given: Any) -> Manner | None:
    """The arguments of @spool that are not uWSGI's, checked; None where they say nothing.

    Raises TypeError, ValueError.
    """
    for what in ("results", "expires", "timeout", "soft_timeout"):
        value, most = given[what], LONGEST if what in ("results", "expires") else _LONGEST_LIMIT
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
            raise ValueError(f"{what}={value!r}: give seconds, 0 (none) to {most:g}")
    if given["timeout"] and given["soft_timeout"] >= given["timeout"]:
        raise ValueError(
            f"soft_timeout={given['soft_timeout']!r}, timeout={given['timeout']!r}: the process is killed "
            "before the function is told; give a shorter soft_timeout"
        )
    given["rate"] = _rate(given["rate"])
    given["schedule"] = schedule_of(given.pop("every"), given.pop("cron"), given.pop("tz"))
    _check_limits(given)
    for what in HOOKS:
        if given[what] is not None:
            _check_hook(given[what], what)
    for what in ("retry_on", "drop_on"):
        given[what] = _classes(what, given[what])
    found = Manner(**given)
    return None if found == manner.NONE else found


def _check_limits(given: dict[str, Any]) -> None:
    for what in ("unique", "key"):
        if not isinstance(given[what], str):
            raise TypeError(f"{what}={given[what]!r}: give text, with the call's arguments in braces")
        try:
            keyed.fields(given[what])
        except ValueError as error:
            raise ValueError(f"{what}={given[what]!r} is no key: {error}") from None
    if given["unique_until"] not in manner.UNTIL:
        raise ValueError(
            f"unique_until={given['unique_until']!r}: give {' or '.join(map(repr, manner.UNTIL))}"
        )
    number = given["concurrency"]
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= _MOST_AT_ONCE:
        raise ValueError(
            f"concurrency={number!r}: give how many run at once, 0 (any number) to {_MOST_AT_ONCE}"
        )
    if given["key"] and not number and not given["rate"]:
        raise ValueError(f"key={given['key']!r} says what concurrency or rate count: give one of them, too")


def _rate(text: Any) -> tuple[int, float] | None:
    """'10/m' as a number and seconds."""
    if text == "":
        return None
    match = _RATE.fullmatch(text) if isinstance(text, str) else None
    if match is not None:
        number, seconds = int(match[1]), int(match[2] or 1) * _UNITS[match[3]]
        if 0 < number <= manner.MOST_BEGUN and 0 < seconds <= manner.LONGEST_RATE:
            return number, float(seconds)
    raise ValueError(
        f"rate={text!r}: give how many are begun in a time, as '10/m' (s, m, h, d) or '10/30s', 1 to "
        f"{manner.MOST_BEGUN} in at most a day"
    )


def check_keys(carried: SpoolFunction) -> None:
    """Raise ValueError for keys of arguments that a function does not have; TypeError for a function that
    needs arguments and is to be called by a schedule."""
    found = carried.manner
    if found is None or not carried.pass_arguments:
        return
    if found.schedule is not None:
        carried.parameters.check((), {})
    for what, template in (("unique", found.unique), ("key", found.key)):
        for each in keyed.fields(template):
            if not carried.parameters.takes(each):
                raise ValueError(f"{what}={template!r}: {carried.name}() has no parameter {each!r}")


def _classes(what: str, value: Any) -> tuple[type[BaseException], ...] | None:
    if value is None:
        return None if what == "retry_on" else ()
    classes = value if isinstance(value, tuple) else (value,)
    for each in classes:
        if not isinstance(each, type) or not issubclass(each, BaseException):
            raise TypeError(f"{what}={value!r}: give a class of exceptions, or a tuple of them")
    return classes


def _check_hook(hook: Any, what: str) -> None:
    if not callable(hook):
        raise TypeError(f"{what}={hook!r}: give a function, which is called with the task")
    if coroutines.is_coroutine_function(hook):
        raise TypeError(f"{what}={hook!r}: a hook is a plain function; this one is a coroutine function")
    coroutines.check_runs(hook, what)


def task_hook(what: str) -> Callable[[F], F]:
    """@task_hook("failed"): have the function called for the tasks of all functions, before their own hooks.

    what: before, after, failed or dead. The function is called as f(task) for before, f(task, returned) for
    after, f(task, error) for the others; task is a CurrentTask. Raises ValueError, TypeError.
    """
    if what not in HOOKS:
        raise ValueError(f"task_hook({what!r}): give one of {', '.join(HOOKS)}")

    def decorate(function: F) -> F:
        _check_hook(function, f"task_hook({what!r})")
        manner.add_hook(what, function)
        return function

    return decorate
