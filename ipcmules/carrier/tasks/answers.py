"""What processes of the bus, and commands, ask about tasks of the cluster. Knows the engine and the files
here."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any

from ipcmules.bus import log
from ipcmules.carrier.engine import Refused
from ipcmules.carrier.tasks.flow_answers import FlowAnswers
from ipcmules.carrier.tasks.flows import Flows, kin_of
from ipcmules.carrier.tasks.pausing import Pausing
from ipcmules.carrier.tasks.schedules import Schedules
from ipcmules.carrier.tasks.spooler import ClusterSpooler
from ipcmules.carrier.tasks.values import State, Stored, Superseded, TaskEngine
from ipcmules.cluster.tasks import OUT
from ipcmules.options.values import SpoolDir
from ipcmules.spooler import attempts, claim, codec, outcomes, standing
from ipcmules.spooler.claim import Refusal
from ipcmules.spooler.clustered import priority_of
from ipcmules.spooler.outcomes import End

Answer = tuple[dict[str, Any], bytes]

#: One try to tell the cluster, seconds.
_TRY = 5.0
#: It may move so often while it is cancelled.
_MOVES = 5
#: Of a task in a list so many bytes are told: its function is among the first.
_SHORT = 4096


class Answers:
    """Of the spoolers that this bus knows. here: those that run here."""

    def __init__(
        self,
        engine: TaskEngine,
        known: tuple[SpoolDir, ...],
        here: dict[str, ClusterSpooler],
        host: str,
        flows: Flows,
    ) -> None:
        self._engine = engine
        self._known = {each.name: each for each in known}
        self._here = here
        self._host = host
        #: What other hosts have said, and is being done.
        self._words: set[asyncio.Task[None]] = set()
        self._answers: dict[str, Callable[[dict[str, Any], bytes], Awaitable[Answer]]] = {
            "task": self._task,
            "task-unique": self._unique,
            "task-cancel": self._cancel,
            "task-list": self._list,
            "task-retry": self._retry,
            "task-drop": self._drop,
            **FlowAnswers(engine).answers,
        }
        self._flows = flows
        flows.cancel = self._cancel_one
        self._answers |= Schedules(engine, self._task).answers
        self._pauses = Pausing(engine, {each.name: each.directory for each in known})
        self._answers["task-pause"] = self._pauses.answer
        engine.on_word(self._heed)

    def knows(self, question: dict[str, Any]) -> bool:
        """True for a question about tasks."""
        return question.get("do") in self._answers

    async def answer(self, question: dict[str, Any], body: bytes) -> Answer:
        """Raises Away, Refused."""
        if question["of"] not in self._known:
            raise Refused(
                f"this host does not know the cluster's spooler {question['of']!r}: add --cluster-spooler "
                f"{question['of']}:0 here"
            )
        return await self._answers[question["do"]](question, body)

    async def watch(self) -> dict[str, dict[str, Any]]:
        """How many tasks there are, and what is paused on all hosts."""
        return {
            each: {**await self._engine.counts(each), "paused": await self._pauses.of(each)}
            for each in self._known
        }

    def _heed(self, said: dict[str, Any]) -> None:
        of, name = str(said.get("of")), str(said.get("name"))
        spooler = self._here.get(of)
        if said.get("do") == "cancel" and spooler is not None:
            spooler.cancel(name)
        if said.get("do") == "wake" and spooler is not None:
            self._go(self._flows.wake(of, name))

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._words.add(task)
        task.add_done_callback(self._heeded)

    def _heeded(self, task: asyncio.Task[None]) -> None:
        self._words.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.event("error", f"what another host said: {task.exception()!r}")

    # One task

    async def _task(self, question: dict[str, Any], _body: bytes) -> Answer:
        spooler, name = question["of"], question["name"]
        due = self._waits_here(spooler, name)
        stored = None if due is not None else await self._engine.find(spooler, name)
        if due is not None or stored is not None:
            state = None if stored is None else await self._engine.state(spooler, name)
            answer, data = self._of(spooler, stored or Stored(spooler, name, b"", due or 0.0), state)
            if stored is not None and not data and kin_of(stored.data)[0]:
                answer |= await self._whole(stored)
            return answer, data
        state = await self._engine.state(spooler, name)
        if state is not None and state.what == "ended":
            return _said(standing.UNKNOWN, Stored(spooler, name, b"")), state.data
        dead = await self._engine.find_dead(spooler, name)
        status = standing.UNKNOWN if dead is None else standing.DEAD
        return _said(status, dead or Stored(spooler, name, b"")), b""

    def _of(self, spooler: str, task: Stored, state: State | None) -> Answer:
        if state is not None and state.what == "ended":
            return _said(standing.UNKNOWN, task), state.data
        if state is not None and state.what == "runs" and state.place == task.place:
            here = self._here.get(spooler)
            progress = here.progress(task.name) if here is not None else None
            found = _said(standing.RUNNING, replace(task, record=state.record))
            return found | {"host": state.host, "progress": progress}, b""
        return _said(_status(task), task), b""

    async def _whole(self, task: Stored) -> dict[str, Any]:
        """Of a chain or group: it runs by its parts."""
        begun = {"status": standing.RUNNING} if task.record.returned else {}
        return {"progress": await self._flows.progress(task.spooler, task.name), **begun}

    def _waits_here(self, spooler: str, name: str) -> float | None:
        """When a task is due that has not gone to the cluster yet; 0.0 for now, None for none."""
        try:
            due = os.stat(f"{self._known[spooler].directory}/{OUT}/{name}").st_mtime
        except OSError:
            return None
        return due if due > time.time() else 0.0

    async def _unique(self, question: dict[str, Any], body: bytes) -> Answer:
        due = float(question["due"])
        task = Stored(question["of"], question["name"], body, due, until=question["until"])
        found = await self._engine.store_keyed(task, _TRY)
        return {"said": "stored", "name": found, "new": found == task.name}, b""

    # Ended by people

    async def _cancel(self, question: dict[str, Any], _body: bytes) -> Answer:
        return {"said": await self._cancel_one(question["of"], question["name"])}, b""

    async def _cancel_one(self, spooler: str, name: str) -> str:
        was_here = self._take_out(spooler, name)
        for _move in range(_MOVES):
            task = await self._engine.find(spooler, name)  # it may have been published all the same
            if task is None:
                return await self._cancel_none(spooler, name, was_here)
            said = await self._cancel_stored(task)
            if said:
                return said
        return "asked"  # it moved; who asks does so again

    async def _cancel_none(self, spooler: str, name: str, was_here: bool) -> str:
        if was_here:
            await self._say_cancelled(spooler, name, 0)
            return "cancelled"
        state = await self._engine.state(spooler, name)
        end = outcomes.parsed(state.data) if state is not None and state.what == "ended" else None
        if end is not None and end.state == outcomes.CANCELLED:  # who did so may have died before its parts
            await self._flows.cancel_parts(spooler, name)
        return "over"

    async def _cancel_stored(self, task: Stored) -> str:
        """What was done; '' where it has just moved."""
        spooler, name = task.spooler, task.name
        state = await self._engine.state(spooler, name)
        if state is not None and state.what == "runs" and state.place == task.place:
            word = {"do": "cancel", "of": spooler, "name": name}
            if state.host == self._host:
                self._heed(word)
            else:
                await self._engine.tell(state.host, word)
            return "asked"
        if not await self._engine.remove(task):
            return ""
        await self._say_cancelled(spooler, name, task.record.attempts)
        is_whole, whole = kin_of(task.data)
        if is_whole:
            await self._flows.cancel_parts(spooler, name)
        if whole:
            await self._flows.over(spooler, name, whole, False)
        return "cancelled"

    def _take_out(self, spooler: str, name: str) -> bool:
        path = f"{self._known[spooler].directory}/{OUT}/{name}"
        held = claim.take(path)
        if isinstance(held, Refusal):
            return False
        try:
            os.unlink(path)
        except OSError:
            return False
        finally:
            claim.release(held)
        return True

    async def _say_cancelled(self, spooler: str, name: str, count: int) -> None:
        end = End(outcomes.CANCELLED, time.time(), count, reason="it was cancelled")
        state = State("ended", self._host, data=outcomes.packed(end))
        await self._engine.say(spooler, name, state, outcomes.KEEP)

    async def _retry(self, question: dict[str, Any], _body: bytes) -> Answer:
        spooler, name, engine = question["of"], question["name"], self._engine
        if question["dead"]:
            task = await engine.find_dead(spooler, name)
            if task is None:
                raise Refused("it is gone")
            # One name for good: who asks twice, as the first answer was lost, runs it once.
            fresh = Stored(spooler, name, task.data, until=task.until)
            await engine.store(fresh, _TRY, f"{name}.again-{task.place}")
            await engine.remove_dead(spooler, name)
            return {"said": "retried"}, b""
        task = await self._idle(spooler, name)
        try:
            await engine.put_back(replace(task, due=0.0, record=attempts.NONE), _TRY)
        except Superseded as error:
            raise Refused("it has just been taken, or ended") from error
        await self._engine.remove(task)
        return {"said": "retried"}, b""

    async def _drop(self, question: dict[str, Any], _body: bytes) -> Answer:
        spooler, name = question["of"], question["name"]
        if question["dead"]:
            task = await self._engine.find_dead(spooler, name)
            await self._engine.remove_dead(spooler, name)
        else:
            task = await self._idle(spooler, name)
            if not await self._engine.remove(task):
                raise Refused("it has just been taken, or ended")
        is_whole, whole = kin_of(task.data) if task is not None else (False, "")
        if is_whole:
            await self._flows.forget(spooler, name)
        if whole:
            await self._flows.over(spooler, name, whole, False)
        return {"said": "dropped"}, b""

    async def _idle(self, spooler: str, name: str) -> Stored:
        """A task that nobody has. Raises Refused."""
        task = await self._engine.find(spooler, name)
        if task is None:
            raise Refused("it is gone")
        state = await self._engine.state(spooler, name)
        if state is not None and state.what == "runs" and state.place == task.place:
            raise Refused(f"host {state.host} has it: wait, or cancel it")
        return task

    # Many

    async def _list(self, question: dict[str, Any], _body: bytes) -> Answer:
        spooler, whole = question["of"], question.get("name")
        dead = bool(question["dead"])
        found = await self._engine.some(spooler, dead, int(question["after"]), int(question["most"]))
        found = list({each.name: each for each in found}.values())  # the newest version
        states: list[State | None] = [None] * len(found)
        if not dead:
            states = list(await asyncio.gather(*(self._engine.state(spooler, each.name) for each in found)))
        last = max((each.place for each in found), default=0)
        return {
            "said": "tasks",
            "tasks": [
                _listed(task, state, whole == task.name)
                for task, state in zip(found, states, strict=True)
                if state is None or state.what != "ended"
            ],
            "last": last,
        }, b""


def _status(task: Stored) -> str:
    if task.record.attempts or task.record.returned:
        return standing.FAILED
    return standing.SCHEDULED if task.due > time.time() else standing.WAITING


def _said(status: str, task: Stored) -> dict[str, Any]:
    due = task.due if task.due > time.time() else 0.0
    about = {"status": status, "name": task.name, "due": due, "record": task.record._asdict()}
    return {"said": "task", "host": "", "progress": None, **about}


def _listed(task: Stored, state: State | None, whole: bool) -> dict[str, Any]:
    runs = state is not None and state.what == "runs" and state.place == task.place
    record = state.record if runs and state is not None else task.record
    try:
        _arguments, body = codec.unpack(task.data)
        priority = priority_of(task.data)
    except codec.Malformed:
        body, priority = 0, ""
    data = task.data if whole else task.data[:_SHORT]
    return {
        "name": task.name,
        "due": task.due,
        "place": task.place,
        "size": len(task.data),
        "body": body,
        "host": state.host if runs and state is not None else "",
        "record": record._asdict(),
        "priority": priority,
        "begun": kin_of(task.data)[0] and task.record.returned > 0,
        "data": base64.b64encode(data).decode(),
    }
