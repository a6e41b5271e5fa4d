"""Calls of functions of other hosts (rpc("mule1@web2", ...)): asked for here, and made here for others.

A call travels from carrier to carrier and ends at the socket where the process listens for calls of its own
host. It is made once at most: nothing is sent again. A call and its answer are a line of JSON and bytes,
specified in docs/formats-cluster.md. Knows the engine, the bus's directory and the wire.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from typing import Any

from ipcmules.bus import log
from ipcmules.bus.places import Places
from ipcmules.carrier.engine import Away, Engine, Refused, Unknown
from ipcmules.kernel.peers import short_path
from ipcmules.wire import packets

#: So many calls of other hosts are under way here at once; more are refused.
_MOST = 1024
#: A line in the log for each kind of trouble, at most once in so many seconds.
_SAY_AGAIN = 60.0

Answer = tuple[dict[str, Any], bytes]


class Calls:
    """Both directions."""

    def __init__(self, where: Places, engine: Engine) -> None:
        self._where = where
        self._engine = engine
        self._under_way: set[asyncio.Task[bytes]] = set()
        self._said: dict[str, float] = {}
        engine.serve_calls(self.answer)

    # Asked for here

    async def ask(self, question: dict[str, Any], strings: bytes) -> Answer:
        """The answer to a process of this bus: `said` is 'result', 'unknown function', or 'nothing' with
        `why`.
        """
        process, host, seconds = question["process"], question["host"], float(question["seconds"])
        try:
            data = await self._engine.call(host, _pack(process, seconds, strings), seconds)
            head, result = _unpack(data)
        except (Unknown, Refused, Away, ValueError) as error:
            head, result = {"said": "nothing", "why": str(error)}, b""
        if head.get("said") != "result":
            self._say(f"a call in {process}@{host} has no result: {head.get('why', 'no such function')}")
        return head, result

    def _say(self, text: str) -> None:
        now = time.monotonic()
        if now - self._said.get(text, -_SAY_AGAIN) >= _SAY_AGAIN:
            if len(self._said) > _MOST:
                self._said.clear()
            self._said[text] = now
            log.event("warning", text)

    # Made here

    async def answer(self, data: bytes) -> bytes:
        """Make a call that another host asks for; its answer."""
        if len(self._under_way) >= _MOST:
            return _nothing(f"more than {_MOST} calls are under way on that host")
        task = asyncio.current_task()
        assert task
        self._under_way.add(task)
        try:
            return await self._make(data)
        finally:
            self._under_way.discard(task)

    async def _make(self, data: bytes) -> bytes:
        try:
            head, strings = _unpack(data)
            process, seconds = str(head["process"]), float(head["seconds"])
        except (ValueError, KeyError, TypeError):
            return _nothing("that host does not understand it: is it of another version?")
        path = os.path.join(self._where.runtime, f"rpc.{os.path.basename(process)}")
        try:
            return await asyncio.wait_for(_call(path, strings), seconds)
        except asyncio.TimeoutError:
            return _nothing(f"no answer within {seconds:.3g} s")
        except (FileNotFoundError, ConnectionRefusedError):
            return _nothing(f"there is no {process} that has registered a function")
        except (OSError, EOFError):
            return _nothing("it raised or died, as that host's log says")
        except packets.PacketError as error:
            return _nothing(str(error))


async def _call(path: str, strings: bytes) -> bytes:
    """Call a function at the socket of a process of this bus; the answer for another host."""
    connection = socket.socket(socket.AF_UNIX)
    connection.setblocking(False)
    writer = None
    try:
        with short_path(path) as short:
            while True:
                try:
                    connection.connect(short)
                    break
                except BlockingIOError:  # its backlog is full (connect(2)); wait_for() ends this
                    await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        writer.write(packets.pack_header(packets.RPC, len(strings)) + strings)
        header = packets.unpack_header(await reader.readexactly(packets.HEADER_SIZE))
        body = await reader.readexactly(header.size)
        if header.modifier2 == packets.LONG:
            body = await reader.readexactly(packets.long_size(body))
    finally:
        connection.close() if writer is None else writer.close()
    if header.modifier2 == packets.UNKNOWN_FUNCTION:
        return b'{"said": "unknown function"}\n'
    return b'{"said": "result"}\n' + body


def _pack(process: str, seconds: float, strings: bytes) -> bytes:
    return json.dumps({"process": process, "seconds": seconds}).encode() + b"\n" + strings


def _nothing(why: str) -> bytes:
    return json.dumps({"said": "nothing", "why": why}).encode() + b"\n"


def _unpack(data: bytes) -> tuple[dict[str, Any], bytes]:
    line, newline, rest = data.partition(b"\n")
    head = json.loads(line)
    if not newline or not isinstance(head, dict):
        raise ValueError("this is no call and no answer of one")
    return head, rest
