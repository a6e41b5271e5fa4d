"""The flat functions of timers, crons and file monitors: add_timer, remove_timer, list_events and the rest.

Knows membership, the recorder and the control socket; the events themselves live in the master
(ipcmules/master/events). What it needs is imported when the first event is made: most processes make none.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ipcmules.api import presence
from ipcmules.kernel import unpatched
from ipcmules.kernel.exhaustion import importing
from ipcmules.member import membership
from ipcmules.member.membership import Membership
from ipcmules.signals.registry import Registration, check_number

if TYPE_CHECKING:
    from datetime import tzinfo

    from ipcmules.events.recorder import Record, Recorder
    from ipcmules.events.specs import Spec

#: How many events one question to the master carries at most: it stays far below what the master takes.
_BATCH = 1000

_TIMERS = ("timer", "mstimer", "rbtimer")
_CRONS = ("cron",)
_MONITORS = ("file",)

_recorder: Recorder | None = None
_making = unpatched.RLock()


# Timers


def add_timer(signum: int, seconds: float, *, overlap: bool = True) -> None:
    """Raise a signal every so many seconds, for the first time so many seconds from now.

    signum: 0 to 255, as register_signal()'s. seconds: more than 0; the k-th tick comes at start + k *
        seconds by a clock that nobody sets (CLOCK_MONOTONIC). overlap: False skips a tick while the former
        run of the signal's handler is still going, or still waits for its process.
    Returns when the master has it; in a process on no bus it is recorded, and begins when the process joins
    one. Raises EventError for a time that cannot be, SignalError for a number, BusStopped if the master does
    not answer. From uWSGI's add_timer(signum, seconds), where only whole seconds go.
    """
    with importing:
        from ipcmules.events import specs

    add(signum, specs.timer(seconds, overlap=overlap))


def add_ms_timer(signum: int, milliseconds: float, *, overlap: bool = True) -> None:
    """As add_timer(), in milliseconds. From uWSGI 2.1's add_ms_timer."""
    with importing:
        from ipcmules.events import specs

    add(signum, specs.ms_timer(milliseconds, overlap=overlap))


def add_rb_timer(signum: int, seconds: float, iterations: int = 0, *, overlap: bool = True) -> None:
    """As add_timer(), for so many ticks; 0 means for ever.

    With 0 seconds and k iterations the signal is raised k times at once. From uWSGI's add_rb_timer.
    """
    with importing:
        from ipcmules.events import specs

    add(signum, specs.rb_timer(seconds, iterations, overlap=overlap))


def remove_timer(signum: int) -> int:
    """Remove every timer of a signal, of whatever kind. Returns how many there were."""
    return _remove(_TIMERS, signum)


# Crons


def add_cron(
    signum: int,
    *when: int | str,
    tz: str | tzinfo | None = None,
    overlap: bool = True,
) -> bool:
    """Raise a signal at the minutes that match: uWSGI's five numbers, or an expression of cron's.

    when: minute, hour, day, month, weekday: -1 for any; -k where the value is divisible by k; weekday 0 to
        7, both ends Sunday. Or a single text: "*/5 * * * *", with ranges, lists, steps and names, or
        "@daily". Day and weekday are ORed where both are given.
    tz: a time zone's name ("Europe/Rome") or a tzinfo with such a key; None takes the zone that is in force
        in this process now. overlap: as in add_timer().
    Returns True when the master has it; recorded on no bus. Raises EventError for fields that cannot be,
    SignalError, BusStopped. From uWSGI's add_cron(signum, minute, hour, day, month, weekday).
    """
    with importing:
        from ipcmules.events import specs

    add(signum, specs.cron(*when, tz=tz, overlap=overlap))
    return True


def remove_cron(signum: int) -> int:
    """Remove every cron of a signal. Returns how many there were."""
    return _remove(_CRONS, signum)


# File monitors


def add_file_monitor(
    signum: int, path: str | bytes | os.PathLike[str], *, recursive: bool = False, overlap: bool = True
) -> None:
    """Raise a signal whenever a file, or what is in a directory, changes; it need not exist yet.

    path: relative ones are to this process's current directory. recursive: True to look into subdirectories
    too. Otherwise as add_timer(). From uWSGI's add_file_monitor.
    """
    with importing:
        from ipcmules.events import specs

    add(signum, specs.monitor(path, recursive, overlap=overlap))


def remove_file_monitor(signum: int, path: str | bytes | os.PathLike[str] | None = None) -> int:
    """Remove a signal's monitor of a path; without one, all its monitors. Returns how many there were."""
    if path is None:
        return _remove(_MONITORS, signum)
    with importing:
        from ipcmules.events import specs

    return _remove(_MONITORS, signum, specs.monitor(path).path)


def list_events() -> list[dict[str, Any]]:
    """Every timer, cron and monitor of the bus, as dicts (docs/reference/events.md).

    `signal` is the number in this process. Raises NotAttached, BusStopped.
    """
    with importing:
        from ipcmules.bus import control

    member = membership.current()
    _publish_what_waits()
    found: list[dict[str, Any]] = control.ask(member.where, {"do": "events.list"})["events"]
    for each in found:
        each["signal"] = membership.registry.local(each["signal"])
    return found


# Shared with the decorators


def add(signal: int | Registration, spec: Spec) -> None:
    """Record an event; publish it if this process is on a bus. Called in the stack of who registers it."""
    recorder = _recording()
    record = recorder.record(spec, signal)
    if membership.loading:
        return  # published with all others when the app is loaded: a question each adds up
    try:
        member = membership.find()
        if member is None:
            return
        presence.ensure(member)
        if record.published != member.description.generation:
            _publish(member, [record])
    except Exception:
        recorder.forget(record)
        raise


def _recording() -> Recorder:
    """The events of this process, published from now on whenever it joins a bus."""
    global _recorder
    with _making:
        if _recorder is None:
            with importing:
                from ipcmules.events.recorder import Recorder

            _recorder = Recorder(membership.registry)
            membership.on_join.append(_joined)
            membership.on_loaded.append(_publish_rest)
        return _recorder


def _joined(member: Membership) -> None:
    if _recorder is None or not _recorder.records():
        return
    try:
        _publish(member, _recorder.records())
    except ValueError as error:
        # The call that joined is not to blame.
        with importing:
            from ipcmules.bus import log

        log.event("error", f"the timers, crons and monitors of this process are not on the bus: {error}")


def _publish_what_waits() -> None:
    """The app, while it is loaded, asks about what it registered."""
    member = membership.peek()
    if membership.loading and member is not None and _recorder is not None:
        _publish_rest(member)


def _publish_rest(member: Membership) -> None:
    """What was recorded while the app was loaded, and is not on the bus yet."""
    assert _recorder is not None
    generation = member.description.generation
    _publish(member, [each for each in _recorder.records() if each.published != generation])


def _publish(member: Membership, records: list[Record]) -> None:
    with importing:
        from ipcmules.bus import control
        from ipcmules.events import specs

    registry = membership.registry
    numbered = [(each, each.shared(registry)) for each in records]
    events = [(each, number) for each, number in numbered if number is not None]
    for first in range(0, len(events), _BATCH):
        batch = events[first : first + _BATCH]
        listed = [
            {
                "id": each.digest.hex(),
                "signal": number,
                "runtime": each.runtime,
                "spec": specs.to_json(each.spec),
            }
            for each, number in batch
        ]
        control.ask(member.where, {"do": "events.add", "code": registry.code, "events": listed})
        for each, _number in batch:
            each.published = member.description.generation
            finite = isinstance(each.spec, specs.TimerSpec) and each.spec.iterations
            if each.runtime and finite and _recorder is not None:
                _recorder.forget(each)  # a bus after this one is not to do it again


def _remove(kinds: tuple[str, ...], signum: int, path: str | None = None) -> int:
    with importing:
        from ipcmules.bus import control

    check_number(signum)
    _publish_what_waits()
    here = _recorder.forget_all(kinds, signum, path) if _recorder is not None else 0
    member = membership.find()
    if member is None:
        return here
    question = {
        "do": "events.remove",
        "kinds": kinds,
        "signal": membership.registry.shared(signum),
        "path": path,
        "code": membership.registry.code,
    }
    removed: int = control.ask(member.where, question)["removed"]
    return removed


def _after_fork() -> None:
    global _making
    _making = unpatched.RLock()


os.register_at_fork(after_in_child=_after_fork)
