"""Calls of decorated functions as tasks: how they are written, and the functions that run them here.

The format is that of uWSGI's uwsgidecorators.py, so that either side runs what the other enqueued
(docs/spooler.md): `ud_spool_func` names the function, `ud_spool_ret` is what the task results in whatever
the function returns, `args` and `kwargs` are pickled where the function has pass_arguments. Knows
dicts of arguments and the registered functions; nothing of files, directories or processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ipcmules.errors import SpoolError
from ipcmules.spooler import results
from ipcmules.spooler.attempts import Policy

OK, RETRY, IGNORE = results.SPOOL_OK, results.SPOOL_RETRY, results.SPOOL_IGNORE

_FUNCTION, _RESULT, _ARGS, _KWARGS, _BODY = "ud_spool_func", "ud_spool_ret", "args", "kwargs", "body"
#: The same as it stands in a task's dict.
_FUNCTION_KEY = b"ud_spool_func"
#: Keyword arguments that say how to enqueue, not what to call the function with.
ENVELOPE = ("spooler", "priority", "at", _BODY)
#: Pickled arguments longer than this together go into the body: the block holds 65,535 bytes, and there must
#: be room for the other keys.
_LONGEST = 60_000
#: Stands for `args` where the arguments are in the body. It is a pickle that raises where it is loaded: so
#: uWSGI, which does not look into the body, keeps such a task rather than calling the function with other
#: arguments.
_IN_BODY = b"cipcmules.spooler.calls\narguments_are_in_the_body\n(tR."

#: inspect.CO_COROUTINE; importing inspect takes 10 ms.
_COROUTINE = 0x80


def arguments_are_in_the_body() -> None:
    """What loading the `args` of a call that is too long for them comes to. Raises SpoolError."""
    raise SpoolError(
        "the arguments of this call are in the task's body, where only a spooler of ipcmules looks for them"
    )


@dataclass(frozen=True)
class SpoolFunction:
    """A function that was decorated to run as a task.

    result: what its tasks result in, None for what it returns. retries: how often a failed task runs again
    before it is dead; None leaves that to the bus. backoff: seconds before the first of these runs, twice as
    long before each further one, at most max_backoff.
    """

    name: str
    function: Callable[..., Any]
    result: int | None = None
    pass_arguments: bool = False
    retries: int | None = None
    backoff: float | None = None
    max_backoff: float = 3600.0

    @property
    def forever(self) -> bool:
        """True if its tasks are to run again and again: they never are dead."""
        return self.result == RETRY

    @property
    def counts_retry(self) -> bool:
        """True if a returned SPOOL_RETRY counts as an attempt."""
        return self.retries is not None and not self.forever

    @property
    def max_attempts(self) -> int | None:
        """After how many failed attempts a task is dead: 0 never, None what the bus says."""
        if self.forever:
            return 0
        return None if self.retries is None else self.retries + 1

    def wait(self, attempts: int) -> float | None:
        """Seconds to wait after so many failed attempts (from 1), None if the bus decides."""
        if self.backoff is None:
            return None
        return min(self.max_backoff, self.backoff * 2.0 ** min(attempts - 1, 64))

    def policy(self, default: Policy) -> Policy:
        """When its failing tasks run again, and how often: what the bus says, but for what it says itself."""
        attempts, backoff = self.max_attempts, self.backoff
        if attempts is None and backoff is None:
            return default
        return Policy(
            default.max_attempts if attempts is None else attempts,
            default.backoff if backoff is None else backoff,
            self.max_backoff,
        )

    def pack(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The dict to enqueue for a call with these arguments.

        Raises TypeError for arguments that are no dict (without pass_arguments), SpoolError for those that
        pickle cannot carry, and for too long ones beside a body of the caller's own.
        """
        task: dict[str, Any] = {_FUNCTION: self.name}
        if self.result is not None:
            task[_RESULT] = str(self.result)
        if self.pass_arguments:
            return task | self._pickled(args, dict(kwargs))
        if len(args) > 1 or (args and not isinstance(args[0], Mapping)):
            raise TypeError(
                f"{self.name}() takes one dict and keywords, as in {self.name}({{'key': 'value'}}), not "
                f"{', '.join(map(repr, args))}; with pass_arguments=True it takes any arguments"
            )
        return task | {_text(key): value for each in (*args, kwargs) for key, value in each.items()}

    def _pickled(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        import pickle

        task = {key: kwargs.pop(key) for key in ENVELOPE if key in kwargs}
        try:
            packed, named = pickle.dumps(args), pickle.dumps(kwargs)
        except Exception as error:  # whatever an argument's own pickling raises
            raise SpoolError(
                f"a call of {self.name}() cannot be enqueued: {error}; give it arguments that pickle carries"
            ) from error
        if len(packed) + len(named) <= _LONGEST:
            return task | {_ARGS: packed, _KWARGS: named}
        if _BODY in task:
            raise SpoolError(
                f"the arguments of {self.name}() are {len(packed) + len(named):,} bytes and need the body, "
                "which this call gives itself: pass its content as an argument of another name"
            )
        return task | {_ARGS: _IN_BODY, _KWARGS: pickle.dumps({}), _BODY: pickle.dumps((args, kwargs))}

    def run(self, env: Mapping[Any, Any]) -> int:
        """Call the function for a task and return the task's result. Raises what the function raises.

        env: the task's dict as handlers get it, keys bytes or str. The function gets str keys, and str
        values where they are UTF-8.
        """
        task = {_text(key): value for key, value in env.items()}
        if _ARGS in task:
            args, kwargs = _arguments(task)
            returned = self.function(*args, **kwargs)
        else:
            returned = self.function({key: _text(value) for key, value in task.items()})
        return as_result(task.get(_RESULT, returned))


def _arguments(task: Mapping[str, Any]) -> tuple[Any, Any]:
    import pickle

    if task[_ARGS] == _IN_BODY:
        args, kwargs = pickle.loads(task[_BODY])
        return args, kwargs
    return pickle.loads(task[_ARGS]), pickle.loads(task[_KWARGS])


def as_result(returned: Any) -> int:
    """What a spooler function returned as a task's result: OK and IGNORE (0, False), all else is RETRY."""
    try:
        number = int(returned)
    except (TypeError, ValueError):
        return RETRY
    return number if number in (OK, IGNORE) else RETRY


def _text(value: Any) -> Any:
    """bytes as str where they are UTF-8; anything else as it is."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


class _Assigned(SpoolFunction):
    """set_spooler()'s function: gets the task as it is."""

    def run(self, env: Mapping[Any, Any]) -> int:
        returned = self.function(env if type(env) is dict else dict(env))
        return OK if returned == OK else as_result(returned)


_functions: dict[str, SpoolFunction] = {}
_assigned: SpoolFunction | None = None


def assign(function: Callable[[dict[Any, Any]], Any] | None) -> None:
    """Have this function run the tasks that are not calls of a decorated one. None takes it back.

    Raises TypeError for what is no function, or a coroutine function.
    """
    global _assigned
    if function is None:
        _assigned = None
        return
    if not callable(function):
        raise TypeError(f"set_spooler() takes a function that is called with a task's dict, not {function!r}")
    assigned = _Assigned(getattr(function, "__name__", type(function).__name__), function)
    _check_plain(assigned)
    _assigned = assigned


def select(env: Mapping[Any, Any]) -> SpoolFunction | None:
    """What runs a task: the decorated function it names, or set_spooler()'s; None if that is not here.

    A function with a true attribute takes_every_task gets calls of unknown names too: the dispatcher that
    uWSGI's own uwsgidecorators.py assigns, which keeps its functions in a registry of its own.
    """
    if _FUNCTION_KEY not in env and _FUNCTION not in env:
        return _assigned
    found = _functions.get(name_in(env) or "")
    if found is None and _assigned is not None and getattr(_assigned.function, "takes_every_task", False):
        return _assigned
    return found


def register(function: SpoolFunction) -> None:
    """Have tasks of that name run by this function from now on.

    Raises TypeError for a coroutine function. A name is all that a task says: where two functions have
    it, the later one gets the tasks of both, as in uWSGI, and that is logged.
    """
    _check_plain(function)
    before = _functions.get(function.name)
    if before is not None and _where(before) != _where(function):
        from ipcmules import log

        log.event(
            "warning",
            f"two spool functions are called {function.name!r}, {_where(before)} and {_where(function)}: "
            "the tasks of both go to the second; rename one of them",
        )
    _functions[function.name] = function


def _check_plain(function: SpoolFunction) -> None:
    code = getattr(function.function, "__code__", None)
    if code is not None and code.co_flags & _COROUTINE:
        raise TypeError(
            f"{function.name}() is a coroutine function, which a spooler does not await: make it a plain "
            "function, and call asyncio.run() in it"
        )


def _where(function: SpoolFunction) -> str:
    code = getattr(function.function, "__code__", None)
    name = getattr(function.function, "__qualname__", function.name)
    return f"{name} of {code.co_filename}" if code is not None else str(name)


def name_in(env: Mapping[Any, Any]) -> str | None:
    """The name of the decorated function a task is for; None for a task of set_spooler()'s function."""
    name = env.get(_FUNCTION_KEY, env.get(_FUNCTION))
    if isinstance(name, bytes):
        return name.decode("utf-8", "backslashreplace")
    return None if name is None else str(name)


def is_decorated(env: Mapping[Any, Any]) -> bool:
    """True for a task of a decorated function, whether it is known here or not."""
    return name_in(env) is not None


def find(name: str) -> SpoolFunction | None:
    """The decorated function of that name; None if the app loaded here has none."""
    return _functions.get(name)


def any_registered() -> bool:
    """True if the app has a function for tasks."""
    return bool(_functions) or _assigned is not None
