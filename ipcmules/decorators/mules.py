"""Decorators for what an app hands to its mules and workers; names and use as in uWSGI's uwsgidecorators.

Each records something when the module that uses it is loaded, before or after the process is on a bus:
signals in the registry, everything else in process.hooks, which the mules and workers run. Decorated
functions are returned unchanged, except by @mulefunc, @thread, @lock and @harakiri, which change what a call
does.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from types import CoroutineType
from typing import Any, ParamSpec, TypeVar, overload

from ipcmules.api import locks, messages, signals
from ipcmules.bus.places import check_name
from ipcmules.decorators import awaiting
from ipcmules.errors import MessageTypeError, SignalError, UnknownTarget
from ipcmules.functions import coroutines, tracing
from ipcmules.functions.parameters import Parameters
from ipcmules.kernel.exhaustion import importing
from ipcmules.member import inlining, membership
from ipcmules.process import harakiri as deadlines
from ipcmules.process import hooks
from ipcmules.signals.identity import Identities, name_of

__all__ = [
    "farm",
    "harakiri",
    "lock",
    "mule",
    "mulefunc",
    "muleloop",
    "mulemsg",
    "postfork",
    "signal",
    "signal_number",
    "thread",
]

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

#: What a message that carries a call of a @mulefunc function begins with (docs/formats-table.md).
MULEFUNC = b"\0ipcmules.mulefunc.1\0"

#: The @mulefunc functions of this process, by what the messages call them.
_functions: dict[bytes, Callable[..., Any]] = {}
_identities = Identities()


def signal(num: int | None = None, target: str = "") -> Callable[[F], F]:
    """Handle a signal with the decorated function, which is called with the number.

    num: 0 to 255; None has one chosen, the same in every process that loads the app (signal_number()
    tells it). target: who handles it (docs/targets.md); "" is the first available worker.
    Raises SignalError, TypeError as register_signal(). From uWSGI's @signal(num, target=...).
    """
    if callable(num):
        raise TypeError("@signal needs parentheses: @signal(7), or @signal() to have the number chosen")

    def register(function: F) -> F:
        if num is not None:
            signals.register_signal(num, target, function)
            return function
        membership.registry.register_auto(target, function)
        signals.registered()
        return function

    return register


def signal_number(function: Callable[..., Any]) -> int:
    """The number of the signal that a function handles: what to raise, for @signal() without a number.

    Raises SignalError if it handles none, or while the number is not chosen yet (this process is on no bus).
    """
    for registration in reversed(membership.registry.registrations()):
        if registration.handler == function:
            if registration.number is not None:
                return registration.number
            chosen = inlining.current.number_of(registration) if inlining.current is not None else None
            if chosen is not None:
                return chosen
            raise SignalError(
                f"the signal of {name_of(function)}() has no number yet: one is chosen when this process "
                "joins a bus"
            )
    raise SignalError(f"{name_of(function)}() handles no signal in this process: decorate it with @signal")


@overload
def mulefunc(target: Callable[P, object]) -> Callable[P, bool]: ...
@overload
def mulefunc(
    target: int | str | bytes = 0,
) -> Callable[[Callable[P, object]], Callable[P, bool]]: ...
def mulefunc(target: int | str | bytes | Callable[..., Any] = 0) -> Any:
    """Have every call of the function run in a mule: @mulefunc, @mulefunc(2), @mulefunc("farm").

    target: a mule's number (0: the first available mule) or a farm's name. A call returns at once, True
    as mule_msg() does; what the function returns is dropped, what it raises is logged by the mule.
    Arguments travel by pickle: MessageTypeError says if one cannot. Arguments that the function does not take
    are a TypeError of the call. A coroutine function is run to its end in the mule; a generator function is
    refused (TypeError). The mule must have loaded the app.
    The function itself is the call's __wrapped__. From uWSGI's @mulefunc.
    """
    if callable(target):
        return _carried(target, 0)

    def decorate(function: Callable[..., Any]) -> Callable[..., bool]:
        return _carried(function, target)

    return decorate


def _carried(function: Callable[..., Any], target: int | str | bytes) -> Callable[..., bool]:
    coroutines.check_runs(function, "@mulefunc")
    key = _identities.of(function, "mulefunc", 0).digest
    parameters = Parameters(function, name_of(function))
    _functions[key] = function
    hooks.install_carrier(MULEFUNC, _run_carried)

    @functools.wraps(function)
    def send(*args: Any, **kwargs: Any) -> bool:
        parameters.check(args, kwargs)
        name = name_of(function)
        call = MULEFUNC + _pickled(function, (key, name, args, kwargs)) + tracing.trailer(name)
        return messages.mule_msg(call, target)

    return send


def _pickled(function: Callable[..., Any], call: tuple[Any, ...]) -> bytes:
    with importing:
        import pickle

    try:
        return pickle.dumps(call, pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # whatever an argument's own pickling raises
        raise MessageTypeError(
            f"a call of @mulefunc {name_of(function)}() cannot be sent: {error}; "
            "give it arguments that pickle can carry"
        ) from error


def _run_carried(message: bytes) -> Any:
    with importing:
        import pickle

    key, name, args, kwargs = pickle.loads(memoryview(message)[len(MULEFUNC) :])
    function = _functions.get(key)
    if function is None:
        raise LookupError(
            f"@mulefunc {name}() is not known in this mule: it must be defined while the app is loaded "
            "(--import), not by the caller alone"
        )
    return function(*args, **kwargs)


@overload
def postfork(worker: F) -> F: ...
@overload
def postfork(worker: int) -> Callable[[F], F]: ...
def postfork(worker: Any) -> Any:
    """Run the function in every new mule and worker, before anything else; @postfork(1) in worker 1 alone.

    Several run in order of definition. From uWSGI's @postfork.
    """
    if callable(worker):
        hooks.add_post_fork(hooks.PostFork(worker))
        return worker
    number = _number(worker, "@postfork", "worker")

    def record(function: F) -> F:
        hooks.add_post_fork(hooks.PostFork(function, number))
        return function

    return record


def mule(num: int) -> Callable[[F], F]:
    """Run the function in mule num, after all @postfork functions; then the mule goes on signal-only."""
    return _body(hooks.ONCE, _number(num, "@mule", "mule"))


def muleloop(num: int) -> Callable[[F], F]:
    """Call the function in mule num for ever, handling signals between the rounds.

    What it raises is logged; one that raises at once is called again after a growing pause.
    """
    return _body(hooks.LOOP, _number(num, "@muleloop", "mule"))


def mulemsg(num: int) -> Callable[[F], F]:
    """Call function(message) for each message that mule num receives: its own, the pool's, its farms'."""
    return _body(hooks.MESSAGES, _number(num, "@mulemsg", "mule"))


def farm(name: str) -> Callable[[F], F]:
    """Call function(message) for each message of a farm, in each mule of it."""
    return _body(hooks.FARM, 0, check_name(name, "farm"))


def _body(kind: str, number: int, farm_name: str = "") -> Callable[[F], F]:
    def record(function: F) -> F:
        hooks.add_body(hooks.Body(kind, function, number, farm_name))
        return function

    return record


def _number(value: object, decorator: str, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{decorator} takes the number of a {what}, as in {decorator}(1), not {value!r}")
    if value < 1:
        raise UnknownTarget(f"{decorator}({value}) cannot be: {what}s have numbers from 1")
    return value


def thread(function: Callable[P, object]) -> Callable[P, threading.Thread]:
    """Have every call of the function run in a daemon thread of its own, and return that thread.

    A coroutine function runs in an event loop of that thread. Raises TypeError for a generator function.
    """
    coroutines.check_runs(function, "@thread")

    @functools.wraps(function)
    def start(*args: P.args, **kwargs: P.kwargs) -> threading.Thread:
        started = threading.Thread(
            target=coroutines.call, args=(function, *args), kwargs=kwargs, name=name_of(function), daemon=True
        )
        started.start()
        return started

    return start


def harakiri(seconds: float) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Have the mule or worker killed when a call of the function takes longer, as set_user_harakiri() does.

    Calls within calls, and in several threads, each have their own time. In a process that is neither a mule
    nor a worker of --processes the function just runs. Of a coroutine function the time is that of awaiting
    it. Raises TypeError for a generator function. From uWSGI's @harakiri.
    """
    if callable(seconds):
        raise TypeError("@harakiri needs a time in seconds: @harakiri(30)")
    checked = deadlines.check_seconds(seconds)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        coroutines.check_runs(function, "@harakiri")
        if coroutines.is_coroutine_function(function):
            return awaiting.guarded(function, checked)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            key = object()
            try:
                if checked:
                    deadlines.arm(checked, key)
                return _refuse_coroutine(function(*args, **kwargs), function, "@harakiri")
            finally:
                deadlines.disarm(key)

        return call

    return decorate


@overload
def lock(number: Callable[P, R]) -> Callable[P, R]: ...
@overload
def lock(number: int = 0) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def lock(number: Any = 0) -> Any:
    """Hold a lock of the bus while the function runs: @lock is lock 0, @lock(2) another one.

    Of a coroutine function it is held while that is awaited, and waited for without holding the loop up.
    Raises TypeError for a generator function; so does a call that returns a coroutine, which would run
    without the lock.
    """
    if callable(number):
        return _locked(number, 0)
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"@lock takes the number of a lock, as in @lock(1), not {number!r}")
    return functools.partial(_locked, number=number)


def _locked(function: Callable[P, R], number: int) -> Callable[P, R]:
    coroutines.check_runs(function, "@lock")
    if coroutines.is_coroutine_function(function):
        return awaiting.locked(function, number)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with locks.Lock(number):
            return _refuse_coroutine(function(*args, **kwargs), function, "@lock")

    return call


def _refuse_coroutine(returned: R, function: Callable[..., Any], decorator: str) -> R:
    """Raise TypeError for a coroutine: what the decorator is for would be over before it runs."""
    if isinstance(returned, CoroutineType):
        returned.close()
        raise TypeError(
            f"{name_of(function)}() returned a coroutine, which would run when {decorator} is over: put "
            f"{decorator} on the coroutine function (async def) itself"
        )
    return returned
