"""What the app asked for with decorators: recorded while it loads, run by the mules and workers.

Owns the lists of post-fork functions, bodies and message hooks of this process. Knows how bodies are
run, not where messages come from or how signals are handled: that is passed in (Services). Records
are known by identity, so an app that is loaded again (reload, a second name) is not recorded twice.
"""

from __future__ import annotations

import functools
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ipcmules.functions import coroutines
from ipcmules.kernel import kill, unpatched
from ipcmules.member import membership
from ipcmules.signals.identity import Identities

Function = Callable[..., Any]
#: Runs a function of the app, logging what it raises: run(function, what it is, *arguments).
Run = Callable[..., None]

#: Kinds of bodies.
ONCE, LOOP, MESSAGES, FARM = "@mule", "@muleloop", "@mulemsg", "@farm"

#: How long a @muleloop function that raises at once waits before its next round, seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
#: A round shorter than this that raised counts as raising at once, seconds.
_AT_ONCE = 0.05


@dataclass(frozen=True)
class PostFork:
    """A function to run in new processes: in every mule and worker, or in one worker alone."""

    function: Function
    worker: int = 0


@dataclass(frozen=True)
class Body:
    """A function that fills a mule's time. `mule` is its number; for FARM `farm` names the farm instead."""

    kind: str
    function: Function
    mule: int = 0
    farm: str = ""


@dataclass(frozen=True)
class Services:
    """What bodies need from the mule they run in.

    get_message() waits for a message to this mule (its own queue, the pool, its farms) and
    get_farm_message(name) for one of a farm; both handle signals meanwhile, may return None to be called
    again, and raise SystemExit when the mule is to end. serve(seconds) handles the signals and messages that
    are there or come within so many seconds, and raises SystemExit likewise. run is dispatch.run.
    """

    get_message: Callable[[], bytes | None]
    get_farm_message: Callable[[str], bytes | None]
    serve: Callable[[float], object]
    run: Run


post_fork_hooks: list[PostFork] = []
mule_bodies: list[Body] = []
#: All message hooks in order of installation, the carrier included; dispatch through hooks_for().
message_hooks: list[Function] = []
#: The hook of the messages that begin with membership.carried, which no other hook gets to see.
_carrier: Function | None = None
_on_install: list[Callable[[], object]] = []

_identities = Identities()
_places: dict[bytes, int] = {}


def install(hook: Function) -> None:
    """Add a message hook. One that is installed already stays where it is."""
    if hook in message_hooks:
        return
    message_hooks.append(hook)
    for each in _on_install:
        each()


def on_install(callback: Callable[[], object]) -> None:
    """Have callback() called whenever a hook is installed from now on: the mule can use messages then."""
    _on_install.append(callback)


def install_carrier(prefix: bytes, hook: Function) -> None:
    """Add the hook for the messages that begin with prefix; they go to no other hook."""
    global _carrier
    _carrier = hook
    membership.carried = prefix
    install(hook)


def carrier_of(message: bytes) -> Function | None:
    """The carrier that a message goes to and nobody else; None for a message of the app's own."""
    return _carrier if _carrier is not None and message.startswith(membership.carried) else None


def hooks_for(message: bytes) -> list[Function]:
    """The hooks that a message goes to: its carrier alone, else all but the carrier."""
    carrier = carrier_of(message)
    if carrier is not None:
        return [carrier]
    return [each for each in message_hooks if each != _carrier]


def add_post_fork(hook: PostFork) -> None:
    """Record a post-fork function, in order of definition. Raises TypeError for a generator function."""
    coroutines.check_runs(hook.function, "@postfork")
    _record(post_fork_hooks, hook, f"postfork {hook.worker}", hook.function)


def add_body(body: Body) -> None:
    """Record a body, in order of definition. Raises TypeError for a generator function."""
    coroutines.check_runs(body.function, body.kind)
    _record(mule_bodies, body, f"{body.kind} {body.mule} {body.farm}", body.function)


def _record(records: list[Any], record: Any, what: str, function: Function) -> None:
    digest = _identities.of(function, what, None).digest
    place = _places.get(digest)
    if place is not None:  # the same definition, loaded again
        records[place] = record
        return
    _places[digest] = len(records)
    records.append(record)


def any_recorded() -> bool:
    """True if the app asked for anything here."""
    return bool(post_fork_hooks or mule_bodies or message_hooks)


def run_post_fork(role: str, number: int, run: Run | None = None) -> None:
    """Run the post-fork functions of a new mule or worker, in order of definition.

    role: 'mule' or 'worker'; number: its number. What one raises is logged, and the next one runs.
    """
    for hook in list(post_fork_hooks):
        if hook.worker == 0 or (role == "worker" and hook.worker == number):
            (run or _run)(hook.function, "a @postfork function")


def bodies_of(number: int, in_farm: Callable[[str], bool]) -> list[Body]:
    """The bodies that mule `number` has to run; in_farm says whether it is in a farm."""
    return [
        each for each in mule_bodies if (in_farm(each.farm) if each.kind == FARM else each.mule == number)
    ]


def reads_pool(number: int) -> bool:
    """True if a body of this mule takes messages from its own queue, the pool and its farms.

    @mulemsg does; the functions of @mule and @muleloop may, by mule_get_msg(), as a program may.
    """
    return any(each.kind != FARM and each.mule == number for each in mule_bodies)


def reads_farm(number: int, in_farm: Callable[[str], bool]) -> bool:
    """True if a body of this mule takes messages of a farm (@farm, @mulemsg)."""
    return any(each.kind in (FARM, MESSAGES) for each in bodies_of(number, in_farm))


def run_bodies(number: int, in_farm: Callable[[str], bool], services: Services) -> None:
    """Run the bodies of a mule, after all its post-fork functions.

    First the @mule functions, in order of definition; then the loops, which end only by SystemExit. Of
    several loops each but the first has a thread of its own. Returns where there is no loop: the mule
    then goes on as a signal-only one.
    """
    bodies = bodies_of(number, in_farm)
    for body in bodies:
        if body.kind == ONCE:
            services.run(body.function, f"the @mule function of mule {number}")
    loops = [body for body in bodies if body.kind != ONCE]
    if not loops:
        return
    others = [_start(body, services) for body in loops[1:]]
    try:
        _loop(loops[0], services)
    except SystemExit:
        for thread in others:  # each finishes what it holds, then is told to end too
            thread.join()
        raise


def _start(body: Body, services: Services) -> unpatched.Thread:
    name = f"ipcmules-{body.kind[1:]}-{getattr(body.function, '__name__', 'function')}"
    thread = unpatched.thread(_loop_beside, name, (body, services))
    thread.start()
    return thread


def _loop_beside(body: Body, services: Services) -> None:
    """A loop in a thread of its own: its end, when the mule ends, is nobody's error."""

    def run(function: Function, what: str, *arguments: Any) -> None:
        try:
            services.run(function, what, *arguments)
        except SystemExit:
            # The app asks for the end of the mule; in a thread that would end the thread alone.
            kill.send_to_self(signal.SIGTERM)
            raise

    try:
        _loop(body, replace(services, run=run))
    except SystemExit:
        return


def _loop(body: Body, services: Services) -> None:
    if body.kind == LOOP:
        _rounds(body, services)
    while True:
        message = services.get_farm_message(body.farm) if body.kind == FARM else services.get_message()
        if message is None:
            continue
        services.run(carrier_of(message) or body.function, f"a {body.kind} function", message)


def _rounds(body: Body, services: Services) -> None:
    """Call the function for ever, serving signals between the rounds."""
    pause = 0.0
    raised = False

    @functools.wraps(body.function)
    def one_round() -> None:
        nonlocal raised
        raised = True
        coroutines.call(body.function)
        raised = False

    while True:
        began = time.monotonic()
        services.run(one_round, "a @muleloop function")
        if not raised or time.monotonic() - began > _AT_ONCE:
            pause = 0.0
        else:
            pause = min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE)
        services.serve(pause)


def _run(function: Function, what: str, *arguments: Any) -> None:
    """What `run` is where nobody gave another: call, and log what is raised."""
    try:
        coroutines.call(function, *arguments)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:
        from ipcmules.bus import log

        log.exception(f"{what}, {getattr(function, '__qualname__', function)!r}, raised:")
