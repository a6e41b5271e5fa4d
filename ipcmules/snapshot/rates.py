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
class Rates:
    """A bus. processes: by role and number. functions: attempts that ended a second, by function.
    directories: tasks that were begun a second, by spool directory."""

    seconds: float = 0.0
    processes: Mapping[tuple[str, int], ProcessRates] = field(default_factory=dict)
    functions: Mapping[str, float] = field(default_factory=dict)
    directories: Mapping[str, float] = field(default_factory=dict)
    messages: float = 0.0
    signals: float = 0.0
    tasks: float = 0.0
    failures: float = 0.0

    def of(self, process: Process) -> ProcessRates:
        """Those of one process."""
        return self.processes.get((process.role, process.number), _NONE)


_NONE = ProcessRates()


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
    directories: dict[str, float] = {}
    for spooler in after.spoolers:
        rate = processes[spooler.role, spooler.number].messages
        directories[spooler.directory] = directories.get(spooler.directory, 0.0) + rate
    spoolers = [processes[each.role, each.number] for each in after.spoolers]
    mules = [processes[each.role, each.number] for each in after.mules]
    return Rates(
        seconds=seconds,
        processes=processes,
        functions=functions,
        directories=directories,
        messages=sum(each.messages for each in mules),
        signals=sum(each.signals for each in processes.values()),
        tasks=sum(each.messages for each in spoolers),
        failures=sum(each.exceptions for each in processes.values()),
    )


def _rates(before: Process | None, after: Process, seconds: float) -> ProcessRates:
    if before is None:
        return _NONE
    return ProcessRates(
        max(after.all_messages - before.all_messages, 0) / seconds,
        max(after.all_signals - before.all_signals, 0) / seconds,
        max(after.all_exceptions - before.all_exceptions, 0) / seconds,
        max(after.cpu - before.cpu, 0.0) / seconds if before.pid == after.pid else 0.0,
    )
