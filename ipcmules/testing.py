"""For the tests of applications: inline() has messages, signals and tasks run at once, without a bus.

    with ipcmules.testing.inline() as ran:
        send_mail("someone@example.org")        # a @spool, @mulefunc or signal handler: done when it returns
    assert ran.tasks[0].name == "send_mail"

The pytest fixture ipcmules_inline is the same (docs/testing.md). Knows how mules and spoolers find the
functions of an app, not how they run them: here what one raises is raised by the call.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ipcmules.api.handles import Progress
from ipcmules.api.handles import Task as Handle
from ipcmules.errors import Drop, LockError, Retry, UnknownTarget
from ipcmules.functions import coroutines
from ipcmules.kernel.printable import shown, worded
from ipcmules.member import inlining, membership
from ipcmules.process import hooks
from ipcmules.process.spooler import manners
from ipcmules.signals.registry import Registration, check_number
from ipcmules.spooler import calls, codec, current, names, outcomes, request
from ipcmules.spooler.attempts import NONE as NO_RECORD
from ipcmules.spooler.attempts import Record
from ipcmules.spooler.manner import FAILED, NONE
from ipcmules.spooler.outcomes import End
from ipcmules.spooler.standing import DEAD, UNKNOWN, Standing

__all__ = ["Inline", "Message", "Signal", "Task", "inline"]


@dataclass(frozen=True)
class Message:
    """A message that was sent. taken: the app has a function that takes it; else a program would."""

    message: bytes
    target: int | str
    taken: bool


@dataclass(frozen=True)
class Signal:
    """A signal that was raised. taken: the app has a handler of it."""

    number: int
    taken: bool


@dataclass(frozen=True)
class Task:
    """A task that was enqueued.

    name: its function's, '' for one of set_spooler()'s. arguments: the task's dict as a spooler reads it.
    result: what it came to (SPOOL_OK -2, SPOOL_RETRY -1, SPOOL_IGNORE 0), None where it raised or no function
    is loaded. args, kwargs: what the function was called with; empty where none is loaded. at: when it is
    due, in seconds since 1970, None for at once. priority: None for none.
    """

    name: str
    arguments: Mapping[Any, Any]
    result: int | None = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    at: float | None = None
    priority: int | None = None


class InlineTask(Handle):
    """The handle of a task that was run here: it knows of its end what a spooler would keep."""

    __slots__ = ("end", "is_done", "record", "returned")
    end: End | None
    #: Its function, or all of a chain or group, has run to its end.
    is_done: bool
    #: Why a chain or group is dead.
    record: Record
    returned: Any

    def _standing(self) -> Standing:
        if self.record.time:
            return Standing(DEAD, record=self.record)
        return Standing(UNKNOWN if self.end is None else self.end.state, end=self.end)

    def _result_of(self, found: Standing) -> Any:
        if found.end is not None and found.status == outcomes.SUCCEEDED and not found.end.reason:
            return self.returned
        return super()._result_of(found)

    @property
    def progress(self) -> Progress | None:
        """The last that it said."""
        said = None if self.end is None else self.end.progress
        return None if said is None else Progress(**said)


class Inline:
    """What was sent, raised and enqueued under inline(), in order."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.signals: list[Signal] = []
        self.tasks: list[Task] = []
        self.locks = Locks()
        self._handles: dict[str, InlineTask] = {}

    def message(self, message: bytes, target: int | str | bytes) -> bool:
        """Call the functions that a message of that target goes to. Raises what they raise, UnknownTarget."""
        where = _target(target)
        takers = _takers(message, where)
        self.messages.append(Message(message, where, bool(takers)))
        for function in takers:
            _call(function, message)
        return True

    def signal(self, number: int) -> None:
        """Call the handler of a signal, if the app has one. Raises what it raises."""
        check_number(number)
        handler = self._handler(number)
        self.signals.append(Signal(number, handler is not None))
        if handler is not None:
            _call(handler, number)

    def task(self, task: Mapping[Any, Any]) -> Handle:
        """Run a task at once, whatever its time; one that is to be run again is not.

        Returns its handle. Raises what the function raises, and what ipcmules.spool()
        raises for a task that cannot be.
        """
        asked = request.read(task)
        name = names.new_name()
        environment: dict[Any, Any] = {"spooler_task_name": name.encode(), **codec.unpack(asked.head)[0]}
        if asked.body:
            environment["body"] = bytes(asked.body)
        function = calls.select(environment)
        args, kwargs, _result = ((), {}, None) if function is None else function.unpack(environment)
        self.tasks.append(
            Task(
                calls.name_in(environment) or "",
                environment,
                args=args,
                kwargs=kwargs,
                at=asked.at / 1e9 if asked.at else None,
                priority=int(asked.priority) if asked.priority else None,
            )
        )
        place = len(self.tasks) - 1
        directory = asked.spooler or "inline"
        handle = self._handle(directory, name)
        if function is not None:
            result = self._run(function, environment, name, handle)
            self.tasks[place] = replace(self.tasks[place], result=result)
        return handle

    def _run(
        self, function: calls.SpoolFunction, environment: Any, name: str, handle: InlineTask
    ) -> int | None:
        """Call a task's function with its hooks; what is to be known of its end goes into the handle."""
        task = current.CurrentTask("", name, function.name, 1, lambda: False)
        before, current.source = current.source, lambda: task
        try:
            result, returned = manners.call(function, environment, task)
        except Retry:
            return calls.RETRY
        except Exception as error:
            if isinstance(error, (Drop, *(function.manner or NONE).drop_on)):
                why = worded(error) if isinstance(error, Drop) else shown(error)
                handle.end = End(outcomes.CANCELLED, time.time(), reason=why)
                return None
            manners.tell(function, FAILED, task, error)
            raise
        finally:
            current.source = before
        if result == calls.OK:
            handle.returned, handle.is_done = returned, True
            if function.manner is not None and function.manner.results:
                _encoding, _value, problem = outcomes.pack(returned)  # what a spooler would not keep is not
                handle.end = End(
                    outcomes.SUCCEEDED,
                    time.time(),
                    function=function.whole,
                    reason=problem,
                    progress=task.said,
                )
            manners.after(function, task, returned)
        return result

    def whole(self, value: Any) -> Handle:
        """The handle of a chain or group whose tasks were run."""
        handle = self._handle("inline", names.new_name())
        handle.returned, handle.is_done = value, True
        handle.end = End(outcomes.SUCCEEDED, time.time())
        return handle

    def unfinished(self, part: Handle) -> Handle:
        """The handle of a chain or group one of whose tasks did not come to its end: that was dropped, and
        the whole is dead; or it would run again, and nothing is known yet."""
        handle = self._handle("inline", names.new_name())
        assert isinstance(part, InlineTask)
        if part.end is not None:
            why = f"task {part.id} is {part.end.state}: {part.end.reason}"
            handle.record = Record(1, 0, time.time(), 0.0, why, "")
        return handle

    def find(self, text: str) -> Handle | None:
        """The handle of a task that was run here, by its ID or its path."""
        return self._handles.get(text.rpartition("/")[2].removeprefix(names.TASK))

    def _handle(self, directory: str, name: str) -> InlineTask:
        handle = InlineTask(f"{directory}/{name}")
        handle._directory, handle.end, handle.record, handle.returned = directory, None, NO_RECORD, None
        handle.is_done = False
        self._handles[handle.id] = handle
        return handle

    def number_of(self, registration: Registration) -> int:
        """The number of a signal whose number is chosen: from 255 down, in order of definition."""
        registrations = membership.registry.registrations()
        taken = {each.number for each in registrations}
        free = (number for number in itertools.count(255, -1) if number not in taken)
        chosen = {id(each): next(free) for each in registrations if each.number is None}
        number = chosen.get(id(registration), registration.number)
        assert number is not None  # a registration has a number or is among those that have none
        return number

    def last_signal(self) -> int:
        """The number of the last signal that was handled, 0 if none."""
        return next((each.number for each in reversed(self.signals) if each.taken), 0)

    def _handler(self, number: int) -> Callable[..., Any] | None:
        for registration in reversed(membership.registry.registrations()):
            if self.number_of(registration) == number:
                return registration.handler
        return None


def _target(target: int | str | bytes) -> int | str:
    if isinstance(target, (str, bytes)):
        return target if isinstance(target, str) else target.decode("utf-8", "replace")
    if isinstance(target, bool) or not isinstance(target, int) or target < 0:
        raise UnknownTarget(f"mule {target!r} cannot be: give a mule's number or a farm's name")
    return target


def _takers(message: bytes, target: int | str) -> list[Callable[..., Any]]:
    """Whom a message goes to: its carrier; the @mulemsg or @farm function of its target; the hooks."""
    carrier = hooks.carrier_of(message)
    if carrier is not None:
        return [carrier]
    hooked = hooks.hooks_for(message)
    bodies = [each.function for each in hooks.mule_bodies if _takes(each, target)]
    if target == 0 and hooked:
        return hooked
    return bodies[:1] or hooked


def _takes(body: hooks.Body, target: int | str) -> bool:
    if isinstance(target, str):
        return body.kind == hooks.FARM and body.farm == target
    return body.kind == hooks.MESSAGES and target in (0, body.mule)


def _call(function: Callable[..., Any], *arguments: Any) -> None:
    coroutines.call(function, *arguments)


class Locks:
    """Numbered locks of this process alone, with the rules of a bus's: held by a thread, never twice."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holders: dict[int, int] = {}

    def lock(self, number: int = 0, timeout: float | None = None) -> bool:
        """As ipcmules.lock(). Raises LockError if this thread holds it already."""
        me = threading.get_ident()
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            if self._holders.get(number) == me:
                raise LockError(
                    f"this thread holds lock {number} already: a lock cannot be taken twice, unlock it first"
                )
            while number in self._holders:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._changed.wait(left)
            self._holders[number] = me
        return True

    def unlock(self, number: int = 0) -> None:
        """As ipcmules.unlock(). Raises LockError if this thread does not hold it."""
        with self._changed:
            if self._holders.get(number) != threading.get_ident():
                raise LockError(f"this thread does not hold lock {number}, so it cannot unlock it")
            del self._holders[number]
            self._changed.notify_all()

    def is_locked(self, number: int = 0) -> bool:
        """As ipcmules.is_locked()."""
        return number in self._holders


@contextlib.contextmanager
def inline() -> Iterator[Inline]:
    """Have mule_msg, farm_msg, signal, spool and what is built on them run in this process, at once.

    A call returns when the functions of the app that it leads to have returned, and raises what they raise.
    No bus is needed; on a bus, nothing goes there. Yields what was sent, raised and enqueued. Timers, cron
    and file monitors raise nothing by themselves: raise their signals. Holds for all threads of the process.
    """
    before, record = inlining.current, Inline()
    _switch(record)
    try:
        yield record
    finally:
        _switch(before)


def _switch(to: inlining.Inline | None) -> None:
    inlining.current = to
    # What calls remembered leads to where they went until now.
    membership.senders.clear()
    membership.raisers.clear()
