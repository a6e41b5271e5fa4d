"""The carrier's socket, where processes of the bus have messages published and say what they have done.

Knows the engine, who settles deliveries, and questions as bytes. The socket is in the bus's private directory
and the peer's uid is checked, so who connects is this user or root.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from ipcmules.bus import log
from ipcmules.bus.places import Places
from ipcmules.carrier.calls import Calls
from ipcmules.carrier.engine import Away, Engine, Refused, Unknown
from ipcmules.cluster import questions
from ipcmules.kernel.peers import peer, short_path

Answer = tuple[dict[str, Any], bytes]

#: A dead letter that is sent again must be stored within so many seconds.
_REQUEUE = 5.0
#: So often it is looked whether the socket's file is there still, seconds.
_LOOK = 2.0


class Questions:
    """Serves the socket."""

    def __init__(
        self,
        where: Places,
        engine: Engine,
        settle: Callable[[str, bool], None],
        about: Callable[[], dict[str, Any]],
    ) -> None:
        """settle(token, True): a delivery is done. about(): what is to be said of this host."""
        self._where = where
        self._engine = engine
        self._settle = settle
        self._about = about
        self._calls = Calls(where, engine)
        self._connections: set[asyncio.Task[None]] = set()
        self._apart: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve the socket until cancelled, also where somebody removes its file."""
        path, listener = questions.socket_path(self._where), self._listen()
        try:
            while True:
                await asyncio.sleep(_LOOK)
                if not os.path.exists(path) and os.path.isdir(self._where.runtime):
                    asyncio.get_running_loop().remove_reader(listener.fileno())
                    listener.close()
                    listener = self._listen()
        finally:
            asyncio.get_running_loop().remove_reader(listener.fileno())
            listener.close()

    def _listen(self) -> socket.socket:
        """Bind the socket, in place of a predecessor's."""
        path = questions.socket_path(self._where)
        listener = socket.socket(socket.AF_UNIX)
        listener.setblocking(False)
        fresh = f"{path}.{os.getpid()}"
        with short_path(fresh) as short:
            listener.bind(short)
        os.chmod(fresh, 0o600)
        listener.listen(socket.SOMAXCONN)
        os.rename(fresh, path)
        asyncio.get_running_loop().add_reader(listener.fileno(), self._accept, listener)
        return listener

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # it has gone, or no descriptor is left
        if not peer(connection).ours:
            connection.close()
            return
        task = asyncio.ensure_future(self._serve(connection))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        try:
            while True:
                lengths = await reader.readexactly(questions.LENGTHS.size)
                head, body = questions.LENGTHS.unpack(lengths)
                if head > questions.LONGEST_HEAD:
                    return
                question = json.loads(await reader.readexactly(head))
                data = await reader.readexactly(body)
                if question.get("apart"):  # whoever asks does not wait for it, and asks on
                    self._go(self._answer_apart(writer, question, data))
                    continue
                writer.write(questions.pack(*await self._answer(question, data)))
                await writer.drain()
        except (OSError, EOFError, ValueError, asyncio.IncompleteReadError):
            pass  # it has gone, or is no process of a bus
        except Exception:
            log.exception("a question:")
        finally:
            writer.close()

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._apart.add(task)
        task.add_done_callback(self._apart.discard)

    async def _answer_apart(
        self, writer: asyncio.StreamWriter, question: dict[str, Any], data: bytes
    ) -> None:
        try:
            head, body = await self._answer(question, data)
            # Few and small: who has asked bounds how many are under way, so nothing piles up here.
            if not writer.is_closing():
                writer.write(questions.pack({**head, "name": question.get("name")}, body))
        except Exception:
            log.exception("a question:")

    async def finish(self, seconds: float) -> None:
        """At the end: what nobody waits for has so long to be stored."""
        if self._apart:
            await asyncio.wait(set(self._apart), timeout=seconds)

    async def _answer(self, question: dict[str, Any], body: bytes) -> Answer:
        what = question.get("do")
        try:
            if what == "publish":
                seconds = float(question["seconds"])
                await self._engine.publish(question["farm"], question["name"], body, seconds)
                return {"said": "stored"}, b""
            if what == "done":
                self._settle(question["token"], True)
                return {"said": "heard"}, b""
            if what == "call":
                return await self._calls.ask(question, body)
            return await self._answer_command(question)
        except Refused as error:
            return {"said": "refused", "why": str(error), "unknown": isinstance(error, Unknown)}, b""
        except Away as error:
            return {"said": "away", "why": str(error), **self._about()}, b""

    async def _answer_command(self, question: dict[str, Any]) -> Answer:
        """What the command line asks."""
        what, engine = question.get("do"), self._engine
        if what == "status":
            return {"said": "status", **self._about(), "cluster": await engine.watch()}, b""
        if what == "dead":
            return {"said": "dead", "letters": await engine.letters(int(question["most"]))}, b""
        if what == "forget":
            return {"said": "forgotten", "known": await engine.forget(str(question["host"]))}, b""
        if what == "letter":
            farm, data = await engine.letter(int(question["id"]))
            return {"said": "letter", "farm": farm}, data
        if what == "drop":
            await engine.drop(int(question["id"]))
            return {"said": "dropped"}, b""
        if what == "requeue":
            number = int(question["id"])
            farm, data = await engine.letter(number)
            # One name for good: who asks twice, as the first answer was lost, sends it once.
            await engine.publish(farm, f"again-{number}", data, _REQUEUE)
            await engine.drop(number)
            return {"said": "requeued"}, b""
        return {"said": "refused", "why": f"this version of ipcmules does not know {what!r}"}, b""
