"""The master's end of the control socket: takes questions, asks whoever knows, answers. Never waits.

Specified in docs/formats.md. Knows the loop and JSON; what the verbs mean is said by who registers them. A
client that sends garbage, half a question, or does not read its answer costs one of a bounded number of
connections for a bounded time: where all are taken, the one that has not asked for the longest time goes.
"""

from __future__ import annotations

import json
import os
import select
import socket
from collections.abc import Callable
from typing import Any

from ipcmules.bus import log
from ipcmules.bus.control import LONGEST, address
from ipcmules.errors import IpcMulesError
from ipcmules.kernel import exhaustion, processes
from ipcmules.kernel.peers import peer, short_path
from ipcmules.kernel.processes import ProcessId
from ipcmules.master.loop.selector import READ, WRITE, Loop, Timer

#: Takes a question and says who asks; returns the answer. What it raises is answered as an error.
Handler = Callable[[dict[str, Any], ProcessId], dict[str, Any]]

#: Connections at a time.
MOST = 64
#: Seconds for a question to arrive whole, and as many for its answer to be read.
_PATIENCE = 10.0
_CHUNK = 1 << 16


class Control:
    """The listening socket and its connections. One a bus; close() it at the end."""

    def __init__(self, loop: Loop, directory: str) -> None:
        """directory: the bus's runtime directory. Raises OSError if the socket cannot be made there."""
        self._loop = loop
        self._handlers: dict[str, Handler] = {}
        self._connections: list[_Connection] = []
        self._socket = _listening(directory)
        loop.watch(self._socket.fileno(), self._accept)

    def on(self, verb: str, handler: Handler) -> None:
        """Have a handler answer the questions with this verb."""
        self._handlers[verb] = handler

    def rebind(self, directory: str) -> None:
        """Listen at a new file: somebody has removed the one there was. Who waits there asks again."""
        made = _listening(directory)
        self._loop.forget(self._socket.fileno())
        self._socket.close()
        self._socket = made
        self._loop.watch(made.fileno(), self._accept)

    def close(self) -> None:
        """Hang up on everybody; the file goes with the bus's directory."""
        self._loop.forget(self._socket.fileno())
        self._socket.close()
        for each in list(self._connections):
            each.close()

    def _accept(self) -> None:
        try:
            accepted, _address = self._socket.accept()
        except OSError as error:
            if exhaustion.refused(error) and not isinstance(error, BlockingIOError):
                raise  # the loop waits a moment before it looks at this socket again
            return  # it has gone already
        peer = _peer(accepted)
        if peer is None:
            accepted.close()
            return
        if len(self._connections) >= MOST:
            self._make_room()
        accepted.setblocking(False)
        self._connections.append(_Connection(self._loop, accepted, peer, self._answer, self._ended))

    def _make_room(self) -> None:
        silent = [each for each in self._connections if not each.asked]
        (silent or self._connections)[0].close()

    def _ended(self, connection: _Connection) -> None:
        self._connections.remove(connection)

    def _answer(self, line: bytes, peer: ProcessId) -> dict[str, Any]:
        try:
            question = json.loads(line)
            if not isinstance(question, dict):
                raise ValueError("a question is a JSON object")
            verb = question.get("do")
            handler = self._handlers.get(verb) if isinstance(verb, str) else None
            if handler is None:
                known = ", ".join(sorted(self._handlers))
                raise ValueError(f"{verb!r} is nothing this master can do: it knows {known}")
            return handler(question, peer)
        except IpcMulesError as error:
            return {"error": type(error).__name__, "text": str(error)}
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            return {"error": "ValueError", "text": f"{type(error).__name__}: {error}"}
        except Exception as error:
            log.exception("a question at the control socket:")
            return {"error": "ValueError", "text": f"the master failed: {error!r}; see its log"}


def _listening(directory: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        # bind(2) gives the file the socket's mode, less the umask: no moment at which it is open to others.
        os.fchmod(made.fileno(), 0o600)
        with short_path(address(directory)) as short:
            made.bind(short)
        made.listen(socket.SOMAXCONN)
    except BaseException:
        made.close()
        raise
    return made


def _peer(connection: socket.socket) -> ProcessId | None:
    """Who asks; None if it is another user's process, root's excepted, or cannot be told."""
    found = peer(connection)
    if not found.ours:
        log.event(
            "warning", f"a process of uid {found.uid} (pid {found.pid}) was refused at the control socket"
        )
        return None
    try:
        return ProcessId(found.pid, processes.start_time(found.pid))
    except OSError:
        return None  # no descriptor is left to look with: it asks again


class _Connection:
    """One question and its answer."""

    def __init__(
        self,
        loop: Loop,
        connection: socket.socket,
        peer: ProcessId,
        answer: Callable[[bytes, ProcessId], dict[str, Any]],
        ended: Callable[[_Connection], None],
    ) -> None:
        self._loop = loop
        self._socket = connection
        self._peer = peer
        self._answer = answer
        self._ended = ended
        self._received = bytearray()
        self._to_send = memoryview(b"")
        #: True once the question is there.
        self.asked = False
        self._deadline: Timer = loop.later(_PATIENCE, self.close)
        loop.watch(connection.fileno(), self._read, READ)

    def close(self) -> None:
        """Hang up."""
        self._deadline.cancel()
        self._loop.forget(self._socket.fileno())
        self._socket.close()
        self._ended(self)

    def _read(self) -> None:
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._received += data
        line, newline, _rest = self._received.partition(b"\n") if b"\n" in data else (b"", b"", b"")
        if newline and not self._has_hung_up():
            self._reply(bytes(line))
        elif newline or not data or len(self._received) > LONGEST:
            self.close()

    def _has_hung_up(self) -> bool:
        """True if nobody waits for the answer any more: then what was asked must not happen either."""
        poll = select.poll()
        poll.register(self._socket, 0)  # POLLHUP comes unasked, and not for half a shutdown (poll(2))
        return bool(poll.poll(0))

    def _reply(self, line: bytes) -> None:
        self.asked = True
        self._to_send = memoryview(json.dumps(self._answer(line, self._peer)).encode() + b"\n")
        self._loop.forget(self._socket.fileno())
        self._loop.watch(self._socket.fileno(), self._write, WRITE)
        self._deadline.cancel()
        self._deadline = self._loop.later(_PATIENCE, self.close)
        self._write()

    def _write(self) -> None:
        try:
            self._to_send = self._to_send[self._socket.send(self._to_send) :]
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if not self._to_send:
            self.close()
