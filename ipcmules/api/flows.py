"""Many tasks as one: spool_many(), chain(), group(), and the calls they are made of.

Knows how calls are written and where tasks go; how a chain goes on says spooler/flows.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from ipcmules.api import tasks as spooling
from ipcmules.api.handles import Task
from ipcmules.errors import SpoolError
from ipcmules.kernel.exhaustion import importing
from ipcmules.member import inlining
from ipcmules.spooler.calls import ENVELOPE, SpoolFunction

#: A title is for people: so many characters of it are kept.
_LONGEST_TITLE = 200
#: The keywords of a call that has none; nobody changes it.
_NOTHING: dict[str, Any] = {}


class Spoolable(Protocol):
    """A function that was decorated by @spool."""

    @property
    def carried(self) -> SpoolFunction:
        """What is known of it."""


class _Unfinished(Exception):
    """Under inline(): a part did not come to its end, so nothing after it is run. part: its handle."""

    def __init__(self, part: Any) -> None:
        super().__init__(part)
        self.part = part


class Call:
    """A call of a decorated function that is to be part of a chain or group: f.s(1, two=2), f.si(...).

    takes: its first argument is what comes before it in the chain; False for f.si().
    """

    def __init__(
        self, function: SpoolFunction, args: tuple[Any, ...], kwargs: Mapping[str, Any], takes: bool
    ) -> None:
        given = [each for each in ENVELOPE if each in kwargs or _is_in(each, args, function)]
        if given:
            raise SpoolError(f"{function.name}.s({given[0]}=...): that is said of the whole, by .spool()")
        if function.result == -1 or function.result is None:
            raise SpoolError(f"{function.name}() is not decorated by @spool: only such calls can be parts")
        self.function = function
        self.args = args
        self.kwargs = dict(kwargs)
        self.takes = takes and function.pass_arguments

    @property
    def title(self) -> str:
        """The function's name."""
        return self.function.name

    def part(self, follows: bool) -> Any:
        """As it stands in a plan. follows: something comes before it. Raises as a call does."""
        with importing:
            from ipcmules.spooler.flows import Part

        takes = self.takes and follows
        return Part(self.title, self.function.pack(self.args, self.kwargs, takes), takes)

    def run(self, value: Any, follows: bool) -> Any:
        """Run it here and now, for inline()."""
        assert inlining.current is not None
        args = (value, *self.args) if self.takes and follows else self.args
        ran = inlining.current.task(self.function.pack(args, self.kwargs))
        if not ran.is_done:
            raise _Unfinished(ran)
        return ran.returned

    def __repr__(self) -> str:
        return f"{self.title}.s({', '.join(map(repr, self.args))})"


def _is_in(word: str, args: tuple[Any, ...], function: SpoolFunction) -> bool:
    """True if a dict that is a call's argument has that word of the spooler."""
    dicts = () if function.pass_arguments else [each for each in args if isinstance(each, Mapping)]
    return any(word in each or word.encode() in each for each in dicts)


class Whole:
    """A chain or a group: stages, one after the other, of parts that run beside one another."""

    word = "chain"

    def __init__(self, stages: list[list[Call | Whole]], many: list[bool]) -> None:
        self.stages = stages
        self.many = many

    @property
    def title(self) -> str:
        """As it was written, for people."""
        texts = [
            f"group({', '.join(part.title for part in stage[:10])}{', ...' if len(stage) > 10 else ''})"
            if many
            else stage[0].title
            for stage, many in zip(self.stages, self.many, strict=True)
        ]
        text = texts[0] if len(texts) == 1 and self.many[0] else f"chain({', '.join(texts)})"
        return text if len(text) <= _LONGEST_TITLE else f"{text[:_LONGEST_TITLE]}..."

    def plan(self, follows: bool) -> dict[str, Any]:
        """As it stands in a task."""
        with importing:
            from ipcmules.spooler.flows import plan_of

        stages = [
            [part.part(follows or number > 0) for part in stage] for number, stage in enumerate(self.stages)
        ]
        return plan_of(stages, self.many)

    def part(self, follows: bool) -> Any:
        """As it stands in the plan of another."""
        with importing:
            from ipcmules.spooler.flows import Part

        return Part(self.title, {}, follows, self.plan(follows))

    def then(self, *parts: Call | Whole) -> Whole:
        """A chain of this and what follows: the next call's first argument is what this comes to."""
        return chain(self, *parts)

    def run(self, value: Any, follows: bool) -> Any:
        """Run it here and now, for inline()."""
        for stage, many in zip(self.stages, self.many, strict=True):
            values = [part.run(value, follows) for part in stage]
            value, follows = values if many else values[0], True
        return value

    def spool(self, *, spooler: Any = None, at: Any = None, priority: Any = None) -> Task:
        """Enqueue it; returns the handle of the whole, whose result is that of the last call, or of a group
        the list of its results.

        spooler, at, priority: as of spool(); all parts have the same directory and priority. Raises as
        spool(), and TypeError for arguments that a function does not take.
        """
        if inlining.current is not None:
            try:
                ran: Task = inlining.current.whole(self.run(None, False))
            except _Unfinished as error:
                ran = inlining.current.unfinished(error.part)
            return ran
        with importing:
            from ipcmules.spooler import request
            from ipcmules.spooler.flows import task_of

        task = task_of(self.title, self.plan(False))
        envelope = {"spooler": spooler, "at": at, "priority": priority}
        task |= {key: value for key, value in envelope.items() if value is not None}
        writer, _spools = spooling.target(
            "" if spooler is None else request.path(spooler), "a chain or group"
        )
        if writer.shown != writer.directory:
            self.check_for_cluster()
        return spooling.spool(task)

    def check_for_cluster(self) -> None:
        """Raise SpoolError if a part cannot be a task of the cluster: before anything is enqueued."""
        with importing:
            from ipcmules.spooler import clustered

        for part in (each for stage in self.stages for each in stage):
            if isinstance(part, Whole):
                part.check_for_cluster()
            else:
                clustered.check_function(part.function)

    def __repr__(self) -> str:
        return f"<{self.title}>"


def chain(*parts: Call | Whole) -> Whole:
    """Calls one after the other: chain(f.s(1), g.s()). Each gets what the one before returned as its first
    argument (f.si() does not, nor does a function without pass_arguments).

    parts: f.s(...), or groups and chains of these. Raises TypeError for anything else, ValueError for none.
    """
    stages: list[list[Call | Whole]] = []
    many: list[bool] = []
    for part in _checked("chain", parts):
        if isinstance(part, Whole):
            stages += part.stages
            many += part.many
        else:
            stages.append([part])
            many.append(False)
    return Whole(stages, many)


def group(*parts: Call | Whole | Iterable[Call | Whole]) -> Whole:
    """Calls beside one another: group(f.s(1), f.s(2)), or of an iterable. It comes to the list of what they
    return, in this order; group(...).then(h.s()) calls h with it.

    Raises TypeError, ValueError as chain().
    """
    if len(parts) == 1 and not isinstance(parts[0], (Call, Whole)) and isinstance(parts[0], Iterable):
        parts = tuple(parts[0])
    return Whole([list(_checked("group", parts))], [True])


def _checked(word: str, parts: tuple[Any, ...]) -> tuple[Call | Whole, ...]:
    if not parts:
        raise ValueError(f"{word}(): give at least one call, as f.s(1)")
    for each in parts:
        if not isinstance(each, (Call, Whole)):
            raise TypeError(f"{word}({each!r}): give calls, as f.s(1), or chains and groups of them")
    return parts


def spool_many(
    function: Spoolable,
    arguments: Iterable[Any],
    *,
    spooler: Any = None,
    at: Any = None,
    priority: Any = None,
) -> list[Task]:
    """Enqueue a call of a decorated function for each of these arguments, in one step; returns the handles.

    arguments: for each call a tuple (its arguments), a dict (keywords; without pass_arguments the task), or
        another value (its only argument).
    spooler, at, priority: as of spool(), for all of them.

    All calls are checked before the first is written. Raises as a call does; where one cannot be written
    (a full disk) those that were are removed again, but for what a spooler has begun. Killed in between, the
    first ones are there. Functions with `unique` are enqueued one by one.
    """
    carried = getattr(function, "carried", None)
    if not isinstance(carried, SpoolFunction):
        raise TypeError(f"spool_many({function!r}): give a function that is decorated by @spool")
    envelope = {"spooler": spooler, "at": at, "priority": priority}
    more = {key: value for key, value in envelope.items() if value is not None}
    given = [_call_of(each, carried) for each in arguments]
    if inlining.current is not None or (carried.manner is not None and carried.manner.unique):
        return [function(*args, **kwargs, **more) for args, kwargs in given]  # type: ignore[operator]
    with importing:
        from ipcmules.spooler.many import requests

    wanted = requests(carried, given, more)
    if not wanted:
        return []
    places = sorted({each.spooler for each in wanted})
    if len(places) > 1:
        raise SpoolError(
            f"spool_many(): these calls are for several spoolers ({', '.join(map(repr, places))}): call it "
            "for each of them"
        )
    return spooling.put_many(wanted, "spool_many()")


def _call_of(given: Any, carried: SpoolFunction) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(given, tuple):
        return given, _NOTHING
    if isinstance(given, Mapping):
        if not carried.pass_arguments:
            return (given,), _NOTHING
        return (), dict(given)
    return (given,), _NOTHING
