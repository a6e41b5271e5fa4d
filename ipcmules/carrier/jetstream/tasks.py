"""Tasks on JetStream: stored, replaced, taken, and told of. See carrier/tasks/values.py.

A version of a task is a message; who puts one in its place says which one that is, and the servers refuse
it where it is another by then (Nats-Expected-Last-Subject-Sequence). Knows the connection and what is
beside it here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg

from ipcmules.carrier.engine import Away, Refused
from ipcmules.carrier.jetstream import publishing
from ipcmules.carrier.jetstream.connection import Connection
from ipcmules.carrier.jetstream.pauses import Pauses
from ipcmules.carrier.jetstream.publishing import Overtaken
from ipcmules.carrier.jetstream.pulls import Pull
from ipcmules.carrier.jetstream.task_names import own_part, part_of
from ipcmules.carrier.jetstream.task_streams import TaskStreams
from ipcmules.carrier.tasks import values
from ipcmules.carrier.tasks.values import FREE, Delivery, State, Stored, Superseded
from ipcmules.spooler import clustered, codec

#: Headers of a task, a dead task and a state.
_NAME, _DUE, _RECORD, _UNTIL = "Ipcmules-Task", "Ipcmules-Due", "Ipcmules-Record", "Ipcmules-Until"
_STATE = "Ipcmules-State"
_ID, _EXPECTED, _TTL = "Nats-Msg-Id", "Nats-Expected-Last-Subject-Sequence", "Nats-TTL"
_EXPECTED_WHERE = "Nats-Expected-Last-Subject-Sequence-Subject"
#: A note is stored within so many seconds, or it is not.
_NOTE = 5.0

#: How far a chain or group is, is kept so long, seconds: for who retries a dead one, or waits for a part.
_FLOW = 366 * 86400
#: So much is forgotten at once.
_TOGETHER = 16


class Tasks:
    """See values.TaskEngine."""

    def __init__(
        self,
        connection: Connection,
        streams: TaskStreams,
        host: str,
        confirmed: Callable[[str, bytes], Awaitable[None]],
    ) -> None:
        """confirmed(token, word) says how a delivery ended."""
        self._connection = connection
        self._streams = streams
        self._names = streams.names
        self._host = host
        self._confirmed = confirmed
        self._heed: Callable[[dict[str, Any]], object] = bool
        self._pauses = Pauses(connection, streams)

    async def make(self, context: JetStreamContext) -> None:
        """What must exist does. Raises Foreign, nats.errors.Error."""
        await self._streams.make(context, self._connection.client)
        await self._pauses.read(context)

    async def begun(self, client: Client) -> None:
        """There is a connection: hear what others tell."""
        if not self._streams.spoolers:
            return
        await client.subscribe(self._names.word(self._host), cb=self._hear)
        await client.subscribe(self._names.word_to_all, cb=self._hear)
        await client.subscribe(self._names.pauses, cb=self._pauses.hear)

    async def _hear(self, message: Msg) -> None:
        said = json.loads(message.data)
        if message.subject == self._names.word_to_all:
            if said["spooler"] in self._streams.spoolers:
                self._streams.note(said["spooler"], said["priority"])
        else:
            self._heed(said)

    def on_pauses(self, heed: Callable[[str, bytes], object]) -> None:
        """See TaskEngine."""
        self._pauses.heed = heed

    def on_word(self, heed: Callable[[dict[str, Any]], object]) -> None:
        """See TaskEngine."""
        self._heed = heed

    async def tell(self, host: str, what: dict[str, Any]) -> None:
        """See TaskEngine."""
        with contextlib.suppress(nats.errors.Error, OSError):
            await self._connection.client.publish(self._names.word(host), json.dumps(what).encode())

    # Storing

    async def store(self, task: Stored, seconds: float, called: str = "") -> None:
        """See TaskEngine."""
        headers = {_ID: called or _part(task), _EXPECTED: "0"}
        with contextlib.suppress(Superseded):  # it is there, of a former try
            await self._put(task, headers, seconds)

    async def store_keyed(self, task: Stored, seconds: float) -> str:
        """See TaskEngine."""
        headers = {_ID: f"{own_part(task.name)}.key", _EXPECTED: "0"}
        headers[_EXPECTED_WHERE] = self._names.task(task.spooler, "*", part_of(task.name))
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with contextlib.suppress(Superseded):
                await self._put(task, headers, until - time.monotonic())
                return task.name
            found = await self._last(self._names.stream(task.spooler), headers[_EXPECTED_WHERE])
            if found is not None:
                return str((found.headers or {}).get(_NAME, task.name))
        raise Away("no answer within the time")

    async def put_back(self, task: Stored, seconds: float) -> None:
        """See TaskEngine."""
        headers = {_ID: f"{own_part(task.name)}.{task.place}", _EXPECTED: str(task.place)}
        await self._put(task, headers, seconds)

    async def _put(self, task: Stored, headers: dict[str, str], seconds: float) -> None:
        try:
            priority = clustered.priority_of(task.data)
        except codec.Malformed as error:
            raise Refused(f"it is no task: {error}") from error
        spooler = task.spooler
        until = time.monotonic() + seconds
        if priority not in self._streams.priorities[spooler]:
            await self._connection.asked(self._add(spooler, priority))
        subject = self._names.task(spooler, priority, _part(task))
        await self._publish(subject, task.data, headers | _about(task), until - time.monotonic())

    async def _add(self, spooler: str, priority: str) -> None:
        await self._streams.add(self._connection.context, spooler, priority)
        said = json.dumps({"spooler": spooler, "priority": priority}).encode()
        await self._connection.client.publish(self._names.word_to_all, said)

    async def _publish(self, subject: str, body: bytes, headers: dict[str, str], seconds: float) -> int:
        try:
            return await publishing.publish(self._connection, subject, body, headers, seconds)
        except Overtaken as error:
            ours = await self._ours(subject, headers[_ID]) if error.again else 0
            if ours:
                return ours  # of a former try, whose answer was lost
            raise Superseded from None

    async def _ours(self, subject: str, called: str) -> int:
        """The sequence number of the last message of a subject, if it is called so; else 0."""
        stream = await self._connection.asked(self._connection.context.find_stream_name_by_subject(subject))
        found = await self._last(stream, subject)
        return found.seq or 0 if found is not None and (found.headers or {}).get(_ID) == called else 0

    # Taking

    def taker(self, spooler: str) -> PriorityTaker:
        """See TaskEngine."""
        return PriorityTaker(self._connection, self._streams, spooler, self.back)

    async def extend(self, token: str) -> None:
        """See TaskEngine."""
        with contextlib.suppress(nats.errors.Error, OSError):
            await self._connection.client.publish(token, b"+WPI")

    async def done(self, token: str) -> None:
        """See TaskEngine."""
        await self._confirmed(token, b"+ACK")

    async def back(self, token: str, delay: float = 0.0) -> None:
        """See TaskEngine."""
        word = f'-NAK {{"delay": {int(delay * 1e9)}}}'.encode() if delay > 0 else b"-NAK"
        await self._confirmed(token, word)

    # What becomes of them

    async def bury(self, task: Stored) -> None:
        """See TaskEngine."""
        headers = {_ID: f"dead-{own_part(task.name)}-{task.place}"}
        subject = self._names.dead(task.spooler, own_part(task.name))
        await self._publish(subject, task.data, headers | _about(task), 10.0)

    async def say(self, spooler: str, name: str, state: State, keep: float) -> None:
        """See TaskEngine."""
        await self._publish(*self._said(spooler, name, state, keep), 10.0)

    def say_soon(self, spooler: str, name: str, state: State, keep: float) -> None:
        """See TaskEngine."""
        subject, body, headers = self._said(spooler, name, state, keep)
        client = self._connection.client
        task = asyncio.ensure_future(client.publish(subject, body, headers=headers))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _said(self, spooler: str, name: str, state: State, keep: float) -> tuple[str, bytes, dict[str, str]]:
        about = [state.what, state.host, state.place, state.since, values.packed(state.record)]
        headers = {_STATE: json.dumps(about), _TTL: f"{max(1, round(keep))}s"}
        return self._names.state(spooler, own_part(name)), state.data, headers

    async def state(self, spooler: str, name: str) -> State | None:
        """See TaskEngine."""
        found = await self._last(self._names.states, self._names.state(spooler, own_part(name)))
        if found is None:
            return None
        what, host, place, since, record = json.loads((found.headers or {})[_STATE])
        return State(what, host, place, since, values.unpacked(record), found.data or b"")

    # Chains and groups

    async def flow(self, spooler: str, name: str) -> tuple[bytes, int]:
        """See TaskEngine."""
        return await self._kept(self._names.flow(spooler, name))

    async def save_flow(self, spooler: str, name: str, data: bytes, version: int) -> int:
        """See TaskEngine."""
        called = f"flow-{own_part(name)}-{version}-{os.urandom(8).hex()}"
        headers = {_ID: called, _EXPECTED: str(version), _TTL: f"{_FLOW}s"}
        return await self._publish(self._names.flow(spooler, name), data, headers, 10.0)

    async def forget_flow(self, spooler: str, name: str, parts: Iterable[str]) -> None:
        """See TaskEngine."""
        subjects = [self._names.state(spooler, own_part(each)) for each in parts]
        for start in range(0, len(subjects), _TOGETHER):
            await asyncio.gather(*map(self._purge, subjects[start : start + _TOGETHER]))
        await self._purge(self._names.flow(spooler, name))

    async def _purge(self, subject: str) -> None:
        context = self._connection.context
        await self._connection.asked(context.purge_stream(self._names.states, subject=subject))

    # What all hosts keep of a spooler

    async def note(self, spooler: str, about: str) -> tuple[bytes, int]:
        """See TaskEngine."""
        return await self._kept(self._names.note(spooler, about))

    async def set_note(self, spooler: str, about: str, text: bytes, place: int) -> int:
        """See TaskEngine."""
        headers = {_ID: f"note-{os.urandom(8).hex()}", _EXPECTED: str(place)}
        return await self._publish(self._names.note(spooler, about), text, headers, _NOTE)

    # Looking

    async def _last(self, stream: str, subject: str) -> RawStreamMsg | None:
        context = self._connection.context
        try:
            found: RawStreamMsg = await self._connection.asked(context.get_msg(stream, subject=subject))
        except nats.js.errors.NotFoundError:
            return None
        return found

    async def _kept(self, subject: str) -> tuple[bytes, int]:
        """What is kept there and its sequence number; b"", 0 for nothing."""
        found = await self._last(self._names.states, subject)
        return (b"", 0) if found is None else (found.data or b"", found.seq or 0)

    async def find(self, spooler: str, name: str) -> Stored | None:
        """See TaskEngine."""
        for part in dict.fromkeys((own_part(name), part_of(name))):
            found = await self._last(self._names.stream(spooler), self._names.task(spooler, "*", part))
            task = None if found is None else _stored(spooler, found)
            if task is not None and task.name == name:
                return task
        return None

    async def find_dead(self, spooler: str, name: str) -> Stored | None:
        """See TaskEngine."""
        found = await self._last(self._names.dead_stream, self._names.dead(spooler, own_part(name)))
        return None if found is None else _stored(spooler, found)

    async def remove(self, task: Stored) -> bool:
        """See TaskEngine."""
        context, stream = self._connection.context, self._names.stream(task.spooler)
        try:
            await self._connection.asked(self._delete(context, stream, task.place))
        except Superseded:
            return False
        return True

    @staticmethod
    async def _delete(context: JetStreamContext, stream: str, place: int) -> None:
        try:
            await context.delete_msg(stream, place)
        except nats.js.errors.APIError as error:  # it is not there
            raise Superseded from error

    async def remove_dead(self, spooler: str, name: str) -> None:
        """See TaskEngine."""
        subject = self._names.dead(spooler, own_part(name))
        context = self._connection.context
        await self._connection.asked(context.purge_stream(self._names.dead_stream, subject=subject))

    async def some(self, spooler: str, dead: bool, after: int, most: int) -> list[Stored]:
        """See TaskEngine."""
        names, context = self._names, self._connection.context
        stream = names.dead_stream if dead else names.stream(spooler)
        subject = names.dead(spooler, "*") if dead else names.task(spooler, "*", "*")
        found: list[Stored] = []
        while len(found) < most:
            try:
                question = context.get_msg(stream, after + 1, next=True, subject=subject)
                raw = await self._connection.asked(question)
            except nats.js.errors.NotFoundError:
                break
            after = raw.seq
            task = _stored(spooler, raw)
            if task is not None:
                found.append(task)
        return found

    async def counts(self, spooler: str) -> dict[str, int]:
        """See TaskEngine."""
        names, asked, context = self._names, self._connection.asked, self._connection.context
        stored = (await asked(context.stream_info(names.stream(spooler)))).state.messages
        about = await asked(context.stream_info(names.dead_stream, subjects_filter=names.dead(spooler, "*")))
        return {"stored": stored, "dead": len(about.state.subjects or ())}


class PriorityTaker:
    """See values.Taker. Where tasks of several priorities were ever there, the lowest number is asked for
    first."""

    def __init__(
        self,
        connection: Connection,
        streams: TaskStreams,
        spooler: str,
        back: Callable[[str], Awaitable[None]],
    ) -> None:
        self._connection = connection
        self._streams = streams
        self._spooler = spooler
        self._back = back

    async def take(self) -> Delivery | None:
        """See values.Taker."""
        await self._connection.ready.wait()
        known = sorted(self._streams.priorities[self._spooler], key=lambda each: (not each, int(each or 0)))
        pulls = [self._pull(each) for each in known]
        if len(pulls) > 1:
            for pull in pulls:
                found = await pull.take(wait=False)
                if found is not None:
                    return found
        return await self._first(pulls)

    def _pull(self, priority: str) -> Pull[Delivery]:
        names = self._streams.names
        stream, consumer = names.stream(self._spooler), names.consumer(priority)
        return Pull(self._connection, stream, consumer, self._back, self._read)

    def _read(self, message: Msg) -> Delivery:
        metadata = message.metadata
        place = metadata.sequence.stream
        task = _of(self._spooler, message.headers or {}, message.data, place)
        return Delivery(message.reply, place, metadata.num_delivered or 1, task, message.data)

    async def _first(self, pulls: list[Pull[Delivery]]) -> Delivery | None:
        """What comes first; what comes beside it goes back."""
        changed = asyncio.ensure_future(self._streams.changed.wait())
        waits = [asyncio.ensure_future(each.take()) for each in pulls]
        found: Delivery | None = None
        try:
            await asyncio.wait([*waits, changed], return_when=asyncio.FIRST_COMPLETED)
            for came in await self._ended(waits):
                if found is None:
                    found = came
                else:
                    await self._back(came.token)
            return found
        except asyncio.CancelledError:
            for came in await self._ended(waits):
                await self._back(came.token)
            raise
        finally:
            changed.cancel()

    @staticmethod
    async def _ended(waits: list[asyncio.Task[Delivery | None]]) -> list[Delivery]:
        for each in waits:
            each.cancel()
        ended = await asyncio.gather(*waits, return_exceptions=True)
        return [each for each in ended if isinstance(each, Delivery)]


def _part(task: Stored) -> str:
    return own_part(task.name) if task.until == FREE else part_of(task.name)


def _about(task: Stored) -> dict[str, str]:
    headers = {_NAME: task.name, _DUE: f"{task.due:.6f}" if task.due else "", _UNTIL: task.until}
    headers[_RECORD] = values.packed(task.record)
    return {key: value for key, value in headers.items() if value}


def _stored(spooler: str, raw: RawStreamMsg) -> Stored | None:
    return _of(spooler, raw.headers or {}, raw.data or b"", raw.seq or 0)


def _of(spooler: str, headers: dict[str, str], data: bytes, place: int) -> Stored | None:
    """The task of a message; None where it is none."""
    try:
        name, due = headers[_NAME], float(headers.get(_DUE, 0))
    except (KeyError, ValueError):
        return None
    if "/" in name or not name.startswith("uwsgi_spoolfile_on_"):
        return None
    record = values.unpacked(headers.get(_RECORD, ""))
    return Stored(spooler, name, data, due, record, headers.get(_UNTIL, ""), place)
