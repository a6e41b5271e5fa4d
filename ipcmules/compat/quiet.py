"""Calls of uWSGI's module that it answers quietly, though nothing comes of them: here the same is answered.

They are about the request that uWSGI's web server has in hand, or about a part of uWSGI that this bus does
not have. Middleware calls them in every request; an error there would be a 500 each time. So the answer is
uWSGI's (2.0.31, asked in a mule, in a worker and in a request), and what does not happen is logged, once a
process. What would be a lie stays an error: absent.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ipcmules.bus import log


class Answer(NamedTuple):
    """One call. takes: its arguments, s for str, b for str or bytes, i for int, f for a number, o for any;
    those behind | may be left out. value: what it returns. lost: what does not happen, for the log."""

    takes: str
    value: object
    lost: str


_LOG_LINE = "the web server's log line has no variables of uWSGI's"
_NO_LOOP = "there is no async loop of uWSGI's"
_NO_LEGION = "this bus is in no legion"

CALLS: dict[str, Answer] = {
    "accepting": Answer("|i", None, "the web server decides which worker takes requests"),
    "add_var": Answer(
        "bb", True, "the request has its variables already: change the WSGI environment itself"
    ),
    "async_sleep": Answer("f", b"", _NO_LOOP),
    "disconnect": Answer("", None, "the web server ends the connection when the application returns"),
    "get_logvar": Answer("b", None, _LOG_LINE),
    "green_schedule": Answer("", True, _NO_LOOP),
    "log_this_request": Answer("", None, "the web server's access log decides what is logged"),
    "lord_scroll": Answer("s", None, _NO_LEGION),
    "offload": Answer("|oo", b"", "nothing is sent, as in uWSGI 2.0"),
    "ready_fd": Answer("", -1, _NO_LOOP),
    "scrolls": Answer("s", None, _NO_LEGION),
    "set_logvar": Answer("bb", None, _LOG_LINE),
    "set_warning_message": Answer("s", True, "`ipcmules status` has no place for it"),
    "suspend": Answer("", True, _NO_LOOP),
}

_TYPES: dict[str, tuple[type, ...]] = {
    "s": (str,),
    "b": (str, bytes),
    "i": (int,),
    "f": (int, float),
    "o": (object,),
}

#: What was logged in this process.
_said: set[str] = set()


def answer(name: str, how: Answer, arguments: tuple[Any, ...]) -> Any:
    """What uWSGI returns, after a look at the arguments. Raises TypeError for those it refuses."""
    check(name, how.takes, arguments)
    say(name, how.lost)
    return how.value


def say(name: str, lost: str) -> None:
    """Log what does not happen, the first time."""
    if name not in _said:
        _said.add(name)
        log.event("info", f"uwsgi.{name}() does nothing here: {lost} (said once a process)")


def check(name: str, takes: str, arguments: tuple[Any, ...]) -> None:
    """Raise TypeError for arguments that uWSGI refuses."""
    needed, _, more = takes.partition("|")
    least, most = len(needed), len(needed + more)
    if not least <= len(arguments) <= most:
        bound = "exactly" if least == most else "at least" if len(arguments) < least else "at most"
        number = most if bound == "at most" else least
        raise TypeError(
            f"{name}() takes {bound} {number} argument{'' if number == 1 else 's'} ({len(arguments)} given)"
        )
    for position, (code, value) in enumerate(zip(needed + more, arguments, strict=False), 1):
        if not isinstance(value, _TYPES[code]):
            wanted = {"i": "int", "f": "float"}.get(code, "str")
            raise TypeError(f"{name}() argument {position} must be {wanted}, not {type(value).__name__}")


def function(name: str, how: Answer) -> Callable[..., Any]:
    """A function of that name."""

    def quiet(*arguments: Any) -> Any:
        return answer(name, how, arguments)

    quiet.__name__ = quiet.__qualname__ = name
    quiet.__doc__ = f"Returns {how.value!r}: {how.lost}."
    return quiet
