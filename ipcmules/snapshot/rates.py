"""What happened between two snapshots, a second. Values and arithmetic only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ipcmules.snapshot.values import Process
from ipcmules.snapshot.whole import Snapshot


@dataclass(frozen=True)
class ProcessRates:
    """One process: messages (a spooler's: tasks), signals and exceptions a second; the share of one CPU."""

    messages: float = 0.0
    signals: float = 0.0
    exceptions: float = 0.0
    cpu: float = 0.0


@dataclass(frozen=True)
class Flow:
    """What came and went a second: messages of a queue, or tasks of a spool directory.

    What comes is not counted by who sends. It is what went, and what more there is than before: so what was
    taken out by hand, as by `ipcmules tasks drop`, is missing.
    """

    come: float = 0.0
    gone: float = 0.0


@dataclass(frozen=True)
class Rates:
    """A bus. processes: by role and number. functions: attempts that ended a second, by function.
    directories: by path; queues: by endpoint, but for those of spool directories."""

    seconds: float = 0.0
    processes: Mapping[tuple[str, int], ProcessRates] = field(default_factory=dict)
    functions: Mapping[str, float] = field(default_factory=dict)
    directories: Mapping[str, Flow] = field(default_factory=dict)
    queues: Mapping[str, Flow] = field(default_factory=dict)
    messages: float = 0.0
    signals: float = 0.0
    tasks: float = 0.0
    failures: float = 0.0

    def of(self, process: Process) -> ProcessRates:
        """Those of one process."""
        return self.processes.get((process.role, process.number), _NONE)


_NONE = ProcessRates()
NO_FLOW = Flow()


def between(before: Snapshot | None, after: Snapshot) -> Rates:
    """The rates from one snapshot to a later one of the same life of the bus; else all are 0."""
    if before is None or before.generation != after.generation or after.time <= before.time:
        return Rates()
    seconds = after.time - before.time
    known = {(each.role, each.number): each for each in before.processes}
    processes = {
        (each.role, each.number): _rates(known.get((each.role, each.number)), each, seconds)
        for each in after.processes
    }
    ended = {each.function: each.ended + each.killed for each in before.tasks.functions}
    functions = {
        each.function: max(each.ended + each.killed - ended.get(each.function, 0), 0) / seconds
        for each in after.tasks.functions
    }
    places = {each.path: each for each in before.tasks.directories}
    directories = {
        each.path: _flow(old.ended, each.ended, old.left, each.left, seconds)
        for each in after.tasks.directories
        if (old := places.get(each.path)) is not None
    }
    known_queues = {each.endpoint: each for each in before.queues}
    queues = {
        each.endpoint: _flow(one.taken, each.taken, one.left, each.left, seconds)
        for each in after.queues
        if not each.is_spool and (one := known_queues.get(each.endpoint)) is not None
    }
    spoolers = [processes[each.role, each.number] for each in after.spoolers]
    mules = [processes[each.role, each.number] for each in after.mules]
    return Rates(
        seconds=seconds,
        processes=processes,
        functions=functions,
        directories=directories,
        queues=queues,
        messages=sum(each.messages for each in mules),
        signals=sum(each.signals for each in processes.values()),
        tasks=sum(each.messages for each in spoolers),
        failures=sum(each.exceptions for each in processes.values()),
    )


def _flow(gone_before: int, gone_after: int, left_before: int, left_after: int, seconds: float) -> Flow:
    gone = max(gone_after - gone_before, 0)
    return Flow(max(gone + left_after - left_before, 0) / seconds, gone / seconds)


def _rates(before: Process | None, after: Process, seconds: float) -> ProcessRates:
    if before is None:
        return _NONE
    return ProcessRates(
        max(after.all_messages - before.all_messages, 0) / seconds,
        max(after.all_signals - before.all_signals, 0) / seconds,
        max(after.all_exceptions - before.all_exceptions, 0) / seconds,
        max(after.cpu - before.cpu, 0.0) / seconds if before.pid == after.pid else 0.0,
    )
