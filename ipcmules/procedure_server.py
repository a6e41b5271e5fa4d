"""The thread that answers RPC calls of other processes of the bus, at a Unix socket of this process.

The socket is in the bus's private directory and the peer's uid is checked (SO_PEERCRED, unix(7)), so who
connects is this user or root. A call runs on a thread of its own: functions may call back.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import time

from ipcmules import log, procedures, wire

#: A peer has so long to send its call, seconds.
_PATIENCE = 10.0
#: Calls at a time; more wait in the socket's backlog.
_CALLS = 64
_BACKLOG = 128

_CREDENTIALS = struct.Struct("iII")  # struct ucred: pid, uid, gid


_listener: socket.socket | None = None


def start(path: str) -> None:
    """Listen at path (a predecessor's socket there is replaced) and answer, for as long as the process
    lives."""
    global _listener
    listener = _listener = socket.socket(socket.AF_UNIX)
    try:
        _bind(listener, path)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        log.event("error", f"RPC calls cannot reach this process: {path}: {error}")
        return
    thread = threading.Thread(target=_accept, args=(listener,), name="ipcmules-rpc", daemon=True)
    thread.start()


def _bind(listener: socket.socket, path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    with wire.short_path(path) as short:
        listener.bind(short)
    os.chmod(path, 0o600)


def _accept(listener: socket.socket) -> None:
    room = threading.BoundedSemaphore(_CALLS)
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            time.sleep(0.05)  # no descriptors left, perhaps not for long
            continue
        room.acquire()
        threading.Thread(
            target=_serve, args=(connection, room), name="ipcmules-rpc-call", daemon=True
        ).start()


def _serve(connection: socket.socket, room: threading.BoundedSemaphore) -> None:
    try:
        with connection:
            if _uid(connection) in (0, os.geteuid()):
                _answer(connection)
    except (OSError, wire.PacketError):
        pass  # it went, or is no bus's process: nothing was promised
    finally:
        room.release()


def _uid(connection: socket.socket) -> int:
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(data)[1])


def _answer(connection: socket.socket) -> None:
    deadline = time.monotonic() + _PATIENCE
    header = wire.unpack_header(wire.receive(connection, wire.HEADER_SIZE, deadline))
    strings = wire.unpack_strings(wire.receive(connection, header.size, deadline))
    function = procedures.find(strings[0]) if strings else None
    connection.settimeout(_PATIENCE)
    if function is None:
        connection.sendall(wire.pack_header(wire.RPC, 0, procedures.UNKNOWN))
        return
    try:
        result = procedures.run(function, strings[1:])
    except Exception:
        log.exception(f"the RPC function {strings[0]!r} raised:")
        return  # without a reply: None there
    connection.sendall(wire.pack_result(result))


def _after_fork() -> None:
    """In a forked child nobody accepts: who connects must be refused when the parent has ended, not wait."""
    global _listener
    if _listener is not None:
        _listener.close()
        _listener = None


os.register_at_fork(after_in_child=_after_fork)
