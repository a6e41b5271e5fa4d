"""Tasks that follow one another: a chain or a group as a task, whose function has its parts run.

That function (advance) writes the tasks of a stage, is put off until they are over, and goes on to the next;
what it returns is the result of the whole. The tasks have names made of its own: whoever is killed at any
step, the next run finds what is there and does the rest. Knows what a place of tasks is (flow_places.py); who
runs tasks runs the whole, too.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from ipcmules.errors import IpcMulesError, Retry, SpoolError
from ipcmules.spooler import arguments, calls, cancelling, flow_files, flow_places, names, outcomes, standing
from ipcmules.spooler.current import CurrentTask, current_task
from ipcmules.spooler.flow_files import NAME, State
from ipcmules.spooler.flow_places import Place
from ipcmules.spooler.manner import Manner
from ipcmules.spooler.standing import Standing

#: The result of the whole is kept so long, seconds.
KEEP = 7 * 86400.0
#: Where nobody tells it, the whole looks after its parts after so many seconds, twice as many each time, at
#: most.
_FIRST_LOOK, _LONGEST_LOOK = 1.0, 30.0
#: So many titles of what runs beside one another are told.
_FEW = 5


class FlowError(IpcMulesError):
    """A part of a chain or group did not succeed; the text says which, and why."""


class Part(NamedTuple):
    """A call, or a chain or group within another, as it stands in a plan: plain values alone."""

    title: str  #: for people
    task: dict[str, Any]  #: as it is written, but for what the stage before came to
    takes: bool  #: its first argument is what the stage before came to
    plan: dict[str, Any] | None = None  #: of a chain or group


def plan_of(stages: list[list[Part]], many: list[bool]) -> dict[str, Any]:
    """Stages, one after the other, of parts that run beside one another.

    many: of each stage whether it comes to a list of values, or to its only one.
    """
    return {"stages": [[tuple(part) for part in stage] for stage in stages], "many": many, "given": None}


def task_of(title: str, plan: Mapping[str, Any]) -> dict[str, Any]:
    """The dict of the task that is the whole."""
    return {
        "ud_spool_func": title,
        "ipcmules_name": NAME,
        "ud_spool_ret": str(calls.OK),
        "body": pickle.dumps(dict(plan)),
    }


class _Flow:
    """One whole, whose task this process has."""

    def __init__(self, place: Place, name: str, plan: Mapping[str, Any]) -> None:
        self._place = place
        self.stages = [[Part(*part) for part in stage] for stage in plan["stages"]]
        self._many: list[bool] = plan["many"]
        self._given: bytes | None = plan["given"]
        self.state = place.state() or State(name, 0, False, [len(stage) for stage in self.stages])

    @property
    def titles(self) -> str:
        """What runs now, for people."""
        titles = [part.title for part in self.stages[self.state.stage]]
        return ", ".join(titles[:_FEW]) + (", ..." if len(titles) > _FEW else "")

    def _parts(self) -> list[tuple[str, Part]]:
        stage = self.state.stage
        return list(zip(self.state.parts(stage), self.stages[stage], strict=True))

    def _save(self, **changes: Any) -> None:
        self.state = self.state._replace(**changes)
        self._place.save(self.state, self.titles)

    def go_on(self) -> None:
        """To the next stage."""
        self._save(stage=self.state.stage + 1, written=False)

    def write(self) -> None:
        """Write the tasks of a stage that are not there, nor over.

        A task that is nowhere was not written yet, or its end could not be said: only until `written`.
        """
        place = self._place
        self._save()
        place.clear_marks()
        value = self._value_before()
        found = self._standings()
        # All marks before the first task: the last mark that goes says that all are over.
        for name, _part, each in found:
            if each.status not in standing.OVER or each.status == standing.UNKNOWN:
                place.mark(name)
        for name, part, each in found:
            if each.status == standing.UNKNOWN:
                self._put(name, part, value)
        self._save(written=True)

    def _standings(self) -> list[tuple[str, Part, Standing]]:
        parts = self._parts()
        stands = self._place.standings([name for name, _part in parts])
        return [(name, part, each) for (name, part), each in zip(parts, stands, strict=True)]

    def _put(self, name: str, part: Part, value: bytes | None) -> None:
        task: dict[Any, Any] = dict(part.task)
        if part.plan is not None:
            task = task_of(part.title, {**part.plan, "given": value if part.takes else None})
        elif part.takes and value is not None:
            task = arguments.with_first(task, pickle.loads(value))
        # As its name tells the time of the whole: when its function's `expires` begins.
        task["at"] = f"{time.time():.6f}"
        task[flow_files.KEY] = os.fsencode(self.state.name)
        try:
            self._place.put(name, task)
        except OSError:
            raise
        except SpoolError as error:
            raise FlowError(f"{part.title}, task {names.id_of(name)}, cannot be enqueued: {error}") from error

    def _value_before(self) -> bytes | None:
        """What the stage before came to, pickled, where a part of this one takes it; None for nothing."""
        if not any(part.takes for part in self.stages[self.state.stage]):
            return None
        return self._given if not self.state.stage else pickle.dumps(self.value(self.state.stage - 1))

    def value(self, stage: int) -> Any:
        """What a stage came to. Raises FlowError where that is not kept."""
        found = [self._value_of(name) for name in self.state.parts(stage)]
        return found if self._many[stage] else found[0]

    def _value_of(self, name: str) -> Any:
        end = self._place.end(name)
        if end is None or end.state != outcomes.SUCCEEDED:
            raise FlowError(f"the result of {names.id_of(name)} is not there any more")
        if not end.encoding:
            raise FlowError(f"{end.function} succeeded as {names.id_of(name)}, but {end.reason}")
        return outcomes.unpack(end)

    def is_over(self) -> bool:
        """True if the tasks of this stage have succeeded. Raises FlowError if one will not."""
        waits = False
        for name, part, found in self._standings():
            if found.status == outcomes.SUCCEEDED:
                continue
            if found.status in standing.OVER:
                why = found.record.reason if found.end is None else found.end.reason
                raise FlowError(
                    f"{part.title}, task {names.id_of(name)}, is {found.status}: {why or 'it is gone'}"
                )
            waits = True
        return not waits


def advance(task: dict[Any, Any]) -> Any:
    """The function of the task that is the whole. Returns its value; Retry: it waits for its parts.

    Raises FlowError where a part did not succeed.
    """
    current = current_task()
    assert current is not None
    place = flow_places.of(current.directory, current.name, str(task.get("priority", "")))
    flow = _Flow(place, current.name, pickle.loads(task["body"]))
    while True:
        if not flow.state.written:
            flow.write()
        current.progress(flow.state.stage, len(flow.stages), flow.titles)
        if not flow.is_over():
            current.write()
            raise Retry(None, "its tasks are not over")
        if flow.state.stage + 1 == len(flow.stages):
            return flow.value(flow.state.stage)
        flow.go_on()


def _after(current: CurrentTask, _returned: Any) -> None:
    """The whole has succeeded."""
    flow_places.of(current.directory, current.name).forget()


FUNCTION = calls.SpoolFunction(
    "flow",
    advance,
    calls.OK,
    backoff=_FIRST_LOOK,
    max_backoff=_LONGEST_LOOK,
    given=NAME,
    manner=Manner(results=KEEP, retry_on=(OSError,), after=_after),
)


def cancel_parts(directory: str, name: str) -> None:
    """A whole in files was cancelled: its parts that wait are, too; those that run are asked.

    Raises OSError.
    """
    state = flow_files.read(flow_files.state_of(directory, name))
    if state is None:
        return
    for part in state.parts(state.stage):
        if not cancelling.take(directory, part):
            try:
                cancelling.request(directory, part)
            except FileNotFoundError:
                continue
        cancel_parts(directory, part)
    flow_files.forget(directory, name)
