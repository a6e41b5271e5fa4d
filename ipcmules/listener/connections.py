"""Connections of the listener: one packet each, within a time, and never more than there is room for.

A client that is slow, sends half a packet or nothing loses its connection when its time is over, or when it
is
the oldest of too many. Knows asyncio and the wire; what a packet asks for is requests.py's.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from ipcmules.listener.peers import Peers
from ipcmules.listener.requests import Requests
from ipcmules.wire import packets as wire

#: A client has so long to send its packet, and to take the reply, seconds.
PATIENCE = 4.0
#: After the reply the other end has so long to hang up, seconds.
_LINGER = 0.3
#: Bytes that are received at once.
_PIECE = 1 << 20
#: Connections at a time; fewer where the limit of open files is low.
_MOST = 512
#: Packets that are worked on at a time: those that spool and raise, and calls, which may take long and must
#: not hold up the others.
_THREADS, _CALLS = 16, 64


class _Pool:
    """Threads, and room for what waits for them."""

    def __init__(self, threads: int, name: str) -> None:
        self.threads = ThreadPoolExecutor(threads, name)
        self.room = asyncio.Semaphore(threads * 4)


class Connections:
    """Accepts, reads, answers."""

    def __init__(self, requests: Requests, peers: Peers) -> None:
        self._requests = requests
        self._peers = peers
        self._quick = _Pool(_THREADS, "ipcmules-request")
        self._calls = _Pool(_CALLS, "ipcmules-call")
        #: Those that have not sent a whole packet yet, oldest first.
        self._reading: dict[socket.socket, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._room = max(8, min(_MOST, soft // 2))

    async def run(self, listeners: Iterable[socket.socket]) -> None:
        """Serve for ever."""
        await asyncio.gather(*(self._accept(each) for each in listeners))

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError:
                await asyncio.sleep(0.05)  # no descriptors left, perhaps not for long
                continue
            connection.setblocking(False)
            if not self._peers.allows(connection):
                self._requests.complain("peer", _refusal(connection))
                connection.close()
                continue
            self._reading[connection] = None
            if len(self._reading) > self._room:
                self._drop(next(iter(self._reading)))
            task = loop.create_task(self._serve(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _drop(self, connection: socket.socket) -> None:
        """Make room: its task sees the end of the stream."""
        self._reading.pop(connection, None)
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has gone

    async def _serve(self, connection: socket.socket) -> None:
        try:
            reply = await self._reply(connection)
            if reply is not None:
                loop = asyncio.get_running_loop()
                await asyncio.wait_for(loop.sock_sendall(connection, reply), PATIENCE)
        except (OSError, asyncio.TimeoutError, wire.PacketError):
            pass  # nothing was promised
        except RuntimeError as error:  # no thread for it
            self._requests.complain("thread", f"a packet was refused: {error}; raise ulimit -u")
        finally:
            self._reading.pop(connection, None)
            await _hang_up(connection)

    async def _reply(self, connection: socket.socket) -> bytes | None:
        loop = asyncio.get_running_loop()
        try:
            packet = await asyncio.wait_for(self._packet(connection), PATIENCE)
        finally:
            self._reading.pop(connection, None)
        if packet is None:
            return None
        pool = self._calls if packet[0].modifier1 == wire.RPC else self._quick
        async with pool.room:
            return await loop.run_in_executor(pool.threads, self._requests.handle, *packet)

    async def _packet(self, connection: socket.socket) -> tuple[wire.Header, bytes, bytes] | None:
        header = wire.unpack_header(await _exactly(connection, wire.HEADER_SIZE))
        if not self._requests.known(header):
            return None
        payload = await _exactly(connection, header.size)
        more = self._requests.follows(header, payload)
        return (header, payload, await _exactly(connection, more)) if more >= 0 else None


async def _exactly(connection: socket.socket, length: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = bytearray()
    while len(data) < length:
        more = await loop.sock_recv(connection, min(length - len(data), _PIECE))
        if not more:
            raise wire.WireError("it hung up")
        data += more
    return bytes(data)


async def _hang_up(connection: socket.socket) -> None:
    """Close. Bytes nobody has read would make that a reset, and take the reply with them (tcp(7))."""
    try:
        connection.shutdown(socket.SHUT_WR)
        await asyncio.wait_for(_drain(connection), _LINGER)
    except (OSError, asyncio.TimeoutError):
        pass  # it has gone, or goes on sending
    finally:
        connection.close()


async def _drain(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while await loop.sock_recv(connection, 65536):
        pass


def _refusal(connection: socket.socket) -> str:
    try:
        name = connection.getpeername()
    except OSError:
        name = "somebody"
    who = name[0] if isinstance(name, tuple) else "another user"
    return f"{who} may not send packets: --socket-allow NETWORK lets others than this machine in"
