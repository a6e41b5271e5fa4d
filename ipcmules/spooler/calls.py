"""Calls of decorated functions as tasks: how they are written, and the functions that run them here.

The format is that of uWSGI's uwsgidecorators.py, so that either side runs what the other enqueued
(docs/spooler.md): `ud_spool_func` names the function, `ud_spool_ret` is what the task results in whatever
the function returns, `args` and `kwargs` are pickled where the function has pass_arguments. `ipcmules_name`
is an addition, which tells functions of one name apart (known.py). Knows dicts of arguments and the
registered functions; nothing of files, directories or processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ipcmules.errors import LimitError, SpoolError
from ipcmules.functions import coroutines, tracing
from ipcmules.functions.parameters import Parameters
from ipcmules.kernel.exhaustion import importing
from ipcmules.kernel.printable import worded
from ipcmules.spooler import results
from ipcmules.spooler.arguments import ARGS, KWARGS, packed, unpacked
from ipcmules.spooler.attempts import Policy
from ipcmules.spooler.known import Known, whole_name
from ipcmules.spooler.manner import Manner

OK, RETRY, IGNORE = results.SPOOL_OK, results.SPOOL_RETRY, results.SPOOL_IGNORE

#: A task's dict as its function gets it.
Env = dict[str | bytes, bytes]

_FUNCTION, _RESULT = "ud_spool_func", "ud_spool_ret"
_WHOLE = "ipcmules_name"
#: Whose part a task is (flow_files.py).
_FLOW = "ipcmules_flow"
#: The same as they stand in a task's dict.
_FUNCTION_KEY, _WHOLE_KEY = b"ud_spool_func", b"ipcmules_name"
_RESULT_KEY, _ARGS_KEY, _KWARGS_KEY = b"ud_spool_ret", b"args", b"kwargs"
#: What a caller's own dict cannot have: it is what makes the dict a task of this function.
_RESERVED = frozenset({_FUNCTION, _RESULT, _WHOLE, _FLOW, tracing.KEY, "spooler_task_name"})
#: Keyword arguments that say how to enqueue, not what to call the function with. `body` is not one of them: a
#: function with arguments of its own never gets to see the task's body.
ENVELOPE = ("spooler", "priority", "at")


def arguments_are_in_the_body() -> None:
    """What loading the `args` of a call that is too long for them comes to. Raises SpoolError."""
    raise SpoolError(
        "the arguments of this call are in the task's body, where only a spooler of ipcmules looks for them"
    )


@dataclass(frozen=True)
class SpoolFunction:
    """A function that was decorated to run as a task.

    name: its `__name__`. result: what its tasks result in, None for what it returns. retries: how often a
    failed task runs again before it is dead; None leaves that to the bus. backoff: seconds before the first
    of these runs, twice as long before each further one, at most max_backoff. given: the name its tasks
    carry; '' for that of its module and itself.
    """

    name: str
    function: Callable[..., Any]
    result: int | None = None
    pass_arguments: bool = False
    retries: int | None = None
    backoff: float | None = None
    max_backoff: float = 3600.0
    given: str = ""
    #: What else its decorator says, None for nothing.
    manner: Manner | None = None

    @cached_property
    def whole(self) -> str:
        """The name that tells it apart from others of its bare name."""
        return self.given or whole_name(self.function, self.name)

    @cached_property
    def named(self) -> dict[str, Any]:
        """What stands in each of its tasks."""
        task = {_FUNCTION: self.name, _WHOLE: self.whole}
        return task if self.result is None else task | {_RESULT: str(self.result)}

    @cached_property
    def parameters(self) -> Parameters:
        """What it can be called with."""
        return Parameters(self.function, self.name)

    @cached_property
    def ambiguous(self) -> tuple[str, ...]:
        """Its own parameters whose names are words of the spooler: a keyword may mean either."""
        return tuple(self.parameters.keywords(ENVELOPE)) if self.pass_arguments else ()

    def check(self, what: str) -> None:
        """Raise TypeError for a function that cannot be one: a generator function, or such parameters.

        what: the decorator.
        """
        coroutines.check_runs(self.function, what)
        if self.ambiguous:
            raise TypeError(self._say_ambiguous(self.ambiguous))

    def _say_ambiguous(self, names: tuple[str, ...]) -> str:
        listed = " and ".join(map(repr, names))
        return (
            f"{self.name}() has its own {listed}, a word by which a call says how to enqueue (spooler, at, "
            "priority): a keyword may mean either. Give the parameter another name, or make it "
            f"positional-only (def {self.name}(..., {names[0]}, /))"
        )

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

    def pack(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], follows: bool = False) -> dict[str, Any]:
        """The dict to enqueue for a call with these arguments. follows: another will stand before them
        (with_first).

        Raises TypeError for arguments that are no dict (without pass_arguments) or that the function does not
        take, SpoolError for those that pickle cannot carry, and for keys of a dict that are the task's own.
        """
        task = self.named
        carried = tracing.carried()
        if carried:
            task = task | carried
        if self.pass_arguments:
            return task | self.pickled(args, dict(kwargs), follows)
        if len(args) > 1 or (args and not isinstance(args[0], Mapping)):
            raise TypeError(
                f"{self.name}() takes one dict and keywords, as in {self.name}({{'key': 'value'}}), not "
                f"{', '.join(map(repr, args))}; with pass_arguments=True it takes any arguments"
            )
        self.parameters.check(({},), {})
        wanted = {_text(key): value for each in (*args, kwargs) for key, value in each.items()}
        if not _RESERVED.isdisjoint(wanted):
            raise SpoolError(
                f"a call of {self.name}() cannot have the keys {', '.join(sorted(_RESERVED & set(wanted)))}: "
                "they say whose task it is; use other ones"
            )
        if ARGS in wanted and not isinstance(wanted[ARGS], bytes):
            raise SpoolError(
                f"a call of {self.name}() cannot have the key 'args': in a task it holds pickled arguments "
                "(pass_arguments=True); use another one"
            )
        return task | wanted

    def pickled(self, args: tuple[Any, ...], kwargs: dict[str, Any], follows: bool = False) -> dict[str, Any]:
        """What pack() adds to `named` for arguments of a function's own. Raises as pack()."""
        task = {key: kwargs.pop(key) for key in ENVELOPE if key in kwargs}
        if task and self.ambiguous and not task.keys().isdisjoint(self.ambiguous):
            raise TypeError(self._say_ambiguous(tuple(each for each in self.ambiguous if each in task)))
        self.parameters.check((None, *args) if follows else args, kwargs)
        try:
            return task | packed(args, kwargs)
        except LimitError:
            raise
        except Exception as error:  # whatever an argument's own pickling raises
            raise SpoolError(
                f"a call of {self.name}() cannot be enqueued: {worded(error)}; give it arguments that pickle "
                "carries"
            ) from error

    def run(self, env: Mapping[Any, Any]) -> int:
        """Call the function for a task and return the task's result. Raises what the function raises.

        env: the task's dict as handlers get it, keys bytes or str. The function gets str keys, and str
        values where they are UTF-8. A coroutine is run to its end; a generator is a TypeError.
        """
        args, kwargs, result = self.unpack(env)
        returned = tracing.traced(self.function, f"task {self.name}", env)(*args, **kwargs)
        if returned is not None:
            returned = coroutines.finish(returned, self.name)
        return as_result(returned if result is None else result)

    def run_for(self, env: Mapping[Any, Any]) -> tuple[int, Any]:
        """As run(), for who asks for what the function returned, too."""
        args, kwargs, result = self.unpack(env)
        function = tracing.traced(self.function, f"task {self.name}", env)
        returned = coroutines.finish(function(*args, **kwargs), self.name)
        return as_result(returned if result is None else result), returned

    @cached_property
    def is_coroutine(self) -> bool:
        """True if a call of it is a coroutine."""
        return coroutines.is_coroutine_function(self.function)

    def begin(self, env: Mapping[Any, Any]) -> tuple[Any, Any]:
        """The coroutine of a coroutine function for a task, and what the task results in, None for what that
        comes to."""
        args, kwargs, result = self.unpack(env)
        return self.function(*args, **kwargs), result

    def unpack(self, env: Mapping[Any, Any]) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
        """What the function is called with for a task, and what the task results in whatever it returns."""
        if _ARGS_KEY in env and _KWARGS_KEY in env:  # as it stands in a file: the common case
            args, kwargs = unpacked(env[_ARGS_KEY], env[_KWARGS_KEY], env)
            return args, kwargs, env.get(_RESULT_KEY)
        task = {_text(key): value for key, value in env.items()}
        task.pop(_WHOLE, None)
        task.pop(_FLOW, None)
        task.pop(tracing.KEY, None)
        result = task.get(_RESULT)
        if ARGS in task:
            args, kwargs = unpacked(task[ARGS], task[KWARGS], task)
            return args, kwargs, result
        return ({key: _text(value) for key, value in task.items()},), {}, result


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
        return OK if returned == OK else as_result(coroutines.finish(returned, self.name))

    def run_for(self, env: Mapping[Any, Any]) -> tuple[int, Any]:
        result = self.run(env)
        return result, result

    def unpack(self, env: Mapping[Any, Any]) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
        return (dict(env),), {}, None


_functions: Known[SpoolFunction] = Known()
_assigned: SpoolFunction | None = None
#: Asked in turn for the function of a task that no registered one is certain to be for: a framework's tasks
#: name what is imported when they are run. Each gives None for tasks that are not its own, and never raises.
finders: list[Callable[[Mapping[Any, Any]], SpoolFunction | None]] = []


def assign(function: Callable[[dict[Any, Any]], Any] | None) -> None:
    """Have this function run the tasks that are not calls of a decorated one. None takes it back.

    Raises TypeError for what is no function, or a generator function.
    """
    global _assigned
    if function is None:
        _assigned = None
        return
    if not callable(function):
        raise TypeError(f"set_spooler() takes a function that is called with a task's dict, not {function!r}")
    coroutines.check_runs(function, "set_spooler()")
    _assigned = _Assigned(getattr(function, "__name__", type(function).__name__), function)


def select(env: Mapping[Any, Any]) -> SpoolFunction | None:
    """What runs a task: the decorated function it names, or set_spooler()'s; None if that is not here.

    A function with a true attribute takes_every_task gets calls of unknown names too: the dispatcher that
    uWSGI's own uwsgidecorators.py assigns, which keeps its functions in a registry of its own.
    """
    certain = _functions.by_packed.get(env.get(_WHOLE_KEY))
    if certain is not None:
        return certain
    for each in finders:
        made = each(env)
        if made is not None:
            return made
    bare = name_in(env)
    if bare is None:
        return _assigned
    found = _functions.find(bare, whole_name_in(env))
    if (
        found is None
        and _assigned is not None
        and getattr(_assigned.function, "takes_every_task", False)
        and not _functions.has_bare(bare)
    ):
        return _assigned
    return found


def why_not(env: Mapping[Any, Any]) -> str:
    """Why select() finds no function for a task, for people."""
    bare = name_in(env)
    if bare is None:
        return "no function for it (set_spooler)"
    return _functions.why_not(bare, whole_name_in(env))


def register(function: SpoolFunction) -> None:
    """Have tasks of its name run by this function from now on.

    Raises TypeError for a generator function. Where another function has the same whole name (name=) it
    gets the tasks of both, and that is logged.
    """
    coroutines.check_runs(function.function, "@spool")
    before = _functions.add(function)
    if before is not None and _where(before) != _where(function):
        with importing:
            from ipcmules.bus import log

        log.event(
            "warning",
            f"two spool functions are called {function.whole!r}, {_where(before)} and {_where(function)}: "
            "the tasks of both go to the second; give one of them another name",
        )


def _where(function: SpoolFunction) -> str:
    code = getattr(function.function, "__code__", None)
    name = getattr(function.function, "__qualname__", function.name)
    return f"{name} of {code.co_filename}" if code is not None else str(name)


def environment(name: str, arguments: dict[Any, bytes], body: bytes) -> Env:
    """What a task's function is called with, as uWSGI makes it. name: of the task, in its directory."""
    env: Env = {
        "spooler_task_name": name[name.rfind("/") + 1 :].encode("utf-8", "surrogateescape"),
        **arguments,
    }
    if body:
        env["body"] = body
    return env


def name_in(env: Mapping[Any, Any]) -> str | None:
    """The name of the decorated function a task is for; None for a task of set_spooler()'s function."""
    name = env.get(_FUNCTION_KEY, env.get(_FUNCTION))
    if isinstance(name, bytes):
        return name.decode("utf-8", "backslashreplace")
    return None if name is None else str(name)


def is_decorated(env: Mapping[Any, Any]) -> bool:
    """True for a task of a decorated function, whether it is known here or not."""
    return name_in(env) is not None


def whole_name_in(env: Mapping[Any, Any]) -> str | None:
    """The name in a task that tells functions of one bare name apart; None where it has none."""
    name = env.get(_WHOLE_KEY, env.get(_WHOLE))
    if isinstance(name, bytes):
        return name.decode("utf-8", "backslashreplace")
    return None if name is None else str(name)


def find(env: Mapping[Any, Any]) -> SpoolFunction | None:
    """The decorated function that a task is for; None if the app has none, or it is not certain."""
    bare = name_in(env)
    return None if bare is None else _functions.find(bare, whole_name_in(env))


def scheduled() -> list[SpoolFunction]:
    """The functions whose tasks come by themselves."""
    return [each for each in _functions if each.manner is not None and each.manner.schedule is not None]


def any_registered() -> bool:
    """True if the app has a function for tasks."""
    return bool(_functions) or _assigned is not None
