"""Chains and groups of the cluster, as the carrier sees them: who tells the whole that its parts are over."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipcmules.carrier.tasks.flow_answers import FlowAnswers
from ipcmules.carrier.tasks.flows import Flows, _stride, kin_of
from ipcmules.carrier.tasks.values import State, Stored, Superseded
from ipcmules.spooler import codec, flow_files, names, outcomes
from ipcmules.spooler.attempts import Record
from ipcmules.spooler.outcomes import End

WHOLE = f"{names.TASK}h_1_1_1_1_1"


class Engine:
    """As TaskEngine, in memory."""

    def __init__(self) -> None:
        self.tasks: dict[str, Stored] = {}
        self.dead: dict[str, Stored] = {}
        self.states: dict[str, State] = {}
        self.flows: dict[str, tuple[bytes, int]] = {}
        self.looks = 0
        self.told: list[tuple[str, str]] = []
        self.places = 10

    async def flow(self, _spooler: str, name: str) -> tuple[bytes, int]:
        return self.flows.get(name, (b"", 0))

    async def save_flow(self, _spooler: str, name: str, data: bytes, version: int) -> int:
        if self.flows.get(name, (b"", 0))[1] != version:
            raise Superseded
        self.flows[name] = data, version + 1
        return version + 1

    async def forget_flow(self, _spooler: str, name: str, parts: Iterable[str]) -> None:
        for each in parts:
            self.states.pop(each, None)
        self.flows.pop(name, None)

    async def state(self, _spooler: str, name: str) -> State | None:
        self.looks += 1
        return self.states.get(name)

    async def find(self, _spooler: str, name: str) -> Stored | None:
        return self.tasks.get(name)

    async def find_dead(self, _spooler: str, name: str) -> Stored | None:
        return self.dead.get(name)

    async def store(self, task: Stored, _seconds: float, _called: str = "") -> None:
        self.tasks.setdefault(task.name, task)

    async def put_back(self, task: Stored, _seconds: float) -> None:
        if task.name not in self.tasks or self.tasks[task.name].place != task.place:
            raise Superseded
        self.places += 1
        self.tasks[task.name] = replace(task, place=self.places)

    async def remove(self, _task: Stored) -> bool:
        return True

    async def tell(self, host: str, what: dict[str, Any]) -> None:
        self.told.append((host, what["do"]))


def ended(state: str = outcomes.SUCCEEDED) -> State:
    """What is said of a part that is over."""
    return State("ended", "web2", data=outcomes.packed(End(state, 1.0, reason="why")))


def begun(count: int, written: bool = True) -> tuple[Engine, Flows, list[str]]:
    """A whole that waits for so many parts, and their names."""
    engine = Engine()
    state = flow_files.State(WHOLE, 0, written, [count])
    engine.flows[WHOLE] = json.dumps({**state._asdict(), "titles": "f", "time": 5.0}).encode(), 1
    waits = Record(0, 3, time.time(), 4.0, "its tasks are not over")
    engine.tasks[WHOLE] = Stored("mail", WHOLE, b"", time.time() + 1000, waits, place=7)
    return engine, Flows(engine, "web1"), state.parts(0)


def is_awake(engine: Engine) -> bool:
    """True if the whole is to be run now, with its failures as they were."""
    task = engine.tasks[WHOLE]
    assert task.record.returned == 3 and not task.record.attempts
    return task.due <= time.time()


@pytest.mark.parametrize("order", ["first to last", "last to first", "the even ones, then the odd ones"])
def test_the_last_part_wakes_the_whole_and_few_looks_are_taken(order: str) -> None:
    async def run() -> None:
        count = 512
        engine, flows, parts = begun(count)
        if order == "last to first":
            parts.reverse()
        elif order != "first to last":
            parts = parts[::2] + parts[1::2]
        for number, part in enumerate(parts):
            assert not is_awake(engine), number
            engine.states[part] = ended()
            await flows.over("mail", part, WHOLE, True)
        assert is_awake(engine)
        assert engine.looks < 20 * count  # of 130,816 if each looked at all that are over

    asyncio.run(run())


@given(st.permutations(range(7)))
def test_it_is_the_last_one_in_any_order(order: list[int]) -> None:
    async def run() -> None:
        engine, flows, parts = begun(7)
        for number in order:
            assert not is_awake(engine)
            engine.states[parts[number]] = ended()
            await flows.over("mail", parts[number], WHOLE, True)
        assert is_awake(engine)

    asyncio.run(run())


@given(st.integers(1, 3000))
def test_a_stride_comes_to_all(count: int) -> None:
    assert len({step * _stride(count) % count for step in range(count)}) == count


def test_one_that_does_not_succeed_wakes_it_at_once() -> None:
    engine, flows, parts = begun(9)
    asyncio.run(flows.over("mail", parts[4], WHOLE, False))
    assert is_awake(engine)


def test_while_parts_are_written_and_of_another_stage_nobody_is_told() -> None:
    for written, stage in ((False, 0), (True, 1)):
        engine, flows, _parts = begun(1, written)
        part = flow_files.part_name(WHOLE, stage, 0)
        engine.states[part] = ended()
        asyncio.run(flows.over("mail", part, WHOLE, True))
        assert not is_awake(engine)


def test_who_runs_the_whole_is_told() -> None:
    engine, flows, _parts = begun(1)
    engine.states[WHOLE] = State("runs", "web2", 7)
    asyncio.run(flows.wake("mail", WHOLE))
    assert engine.told == [("web2", "wake")] and not is_awake(engine)
    here: list[str] = []
    flows.here["mail"] = lambda name: not here.append(name)  # type: ignore[func-returns-value]
    asyncio.run(flows.wake("mail", WHOLE))
    assert here == [WHOLE] and len(engine.told) == 1
    engine.states[WHOLE] = State("runs", "web2", 6)  # that was an older version
    del flows.here["mail"]
    asyncio.run(flows.wake("mail", WHOLE))
    assert is_awake(engine) and len(engine.told) == 1


def test_a_whole_that_is_gone_is_forgotten_with_its_parts() -> None:
    async def run() -> None:
        engine, flows, parts = begun(3)
        cancelled: list[str] = []

        async def cancel(_spooler: str, name: str) -> None:
            cancelled.append(name)

        flows.cancel = cancel
        assert await flows.progress("mail", WHOLE) == {"done": 0, "total": 1, "note": "f", "time": 5.0}
        await flows.cancel_parts("mail", WHOLE)
        assert cancelled == parts and not engine.flows
        await flows.cancel_parts("mail", WHOLE)
        assert len(cancelled) == 3 and await flows.progress("mail", WHOLE) is None
        engine, flows, parts = begun(3)
        engine.states |= {each: ended() for each in parts}
        await flows.forget("mail", WHOLE)
        assert not engine.flows and not engine.states

    asyncio.run(run())


def test_how_parts_stand() -> None:
    async def run() -> None:
        engine, _flows, parts = begun(5)
        answers = FlowAnswers(engine).answers
        engine.states[parts[0]] = ended()
        engine.states[parts[1]] = ended(outcomes.CANCELLED)
        await answers["flow-put"]({"of": "mail", "name": parts[2]}, b"task")
        engine.dead[parts[3]] = Stored("mail", parts[3], b"", record=Record(1, reason="it raised"))
        found = await answers["flow-parts"]({"of": "mail", "name": WHOLE}, json.dumps(parts).encode())
        assert json.loads(found[1]) == [
            ["succeeded", "why"],
            ["cancelled", "why"],
            ["waiting", ""],
            ["dead", "it raised"],
            ["unknown", ""],
        ]
        save = answers["flow-save"]
        assert (await save({"of": "mail", "name": WHOLE, "version": 1}, b"x"))[0]["version"] == 2
        assert (await save({"of": "mail", "name": WHOLE, "version": 1}, b"y"))[0]["said"] == "overtaken"
        assert (await answers["flow"]({"of": "mail", "name": WHOLE}, b""))[1] == b"x"
        value = await answers["flow-end"]({"of": "mail", "name": parts[0]}, b"")
        assert outcomes.parsed(value[1]) == End(outcomes.SUCCEEDED, 1.0, reason="why")

    asyncio.run(run())


def test_whose_part_a_task_is() -> None:
    whole = {"ipcmules_name": flow_files.NAME, "ud_spool_func": "chain(f)"}
    part = {"ud_spool_func": "f", flow_files.KEY: WHOLE.encode()}
    assert kin_of(codec.pack(whole)) == (True, "")
    assert kin_of(codec.pack(part)) == (False, WHOLE)
    assert kin_of(codec.pack(whole | part)) == (True, WHOLE)
    assert kin_of(codec.pack({"a": "ipcmules_flow"})) == kin_of(b"ipcmules_flow") == (False, "")
    assert kin_of(codec.pack(part | {flow_files.KEY: b"../" + WHOLE.encode()})) == (False, "")
