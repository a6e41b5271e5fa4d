"""The threads that answer RPC calls of other processes of the bus, at a Unix socket of this process.

The socket is in the bus's private directory and the peer's uid is checked (SO_PEERCRED, unix(7)), so who
connects is this user or root. One thread accepts; calls wait in a queue for one of a bounded number of
threads, which are started as they are needed: functions may call back. Where the system refuses a thread the
calls wait for those there are, or the accepting one runs them.
"""

from __future__ import annotations

import os
import resource
import socket
import time
from collections import deque
from collections.abc import Callable

from ipcmules.bus import log
from ipcmules.bus.table import R_EXCEPTIONS
from ipcmules.functions import tracing
from ipcmules.kernel import unpatched, unpatched_polls
from ipcmules.kernel.peers import peer, short_path
from ipcmules.kernel.unpatched_sockets import Socket
from ipcmules.process import child
from ipcmules.signals import running
from ipcmules.wire import packets

#: A peer has so long to send its call, and to read more of its result, seconds.
_PATIENCE = 10.0
#: Calls that run at a time.
_CALLS = 64
#: Calls that wait for that, each with a descriptor; fewer where the limit of open files is low. More wait in
#: the socket's backlog, and then in their callers.
_WAITING = 1024
#: A thread that has nothing to do for so long ends, seconds.
_LINGER = 5.0
#: A line in the log for each kind of trouble, at most once in so many seconds.
_SAY_AGAIN = 60.0

#: Called with the name and the arguments; the result, or None where there is no such function.
Call = Callable[[bytes, list[bytes]], "bytes | None"]


_listener: socket.socket | None = None
#: A descriptor of the socket's file: where somebody removes that, the master links to it
#: (master/objects/upkeep.py).
_file = -1


def start(path: str, call: Call) -> bool:
    """Listen at path, where a predecessor's socket is replaced, and answer while the process lives.

    call: called with the name and the arguments; returns the result, None where there is no such function.
    Returns False, having logged why, if that cannot be now.
    """
    global _listener
    try:
        _listener = Socket(socket.AF_UNIX)
        _bind(_listener, path)
        _listener.listen(socket.SOMAXCONN)
        server = _Server(_listener, call)
        unpatched.thread(server.accept, "ipcmules-rpc").start()
    except (OSError, RuntimeError) as error:  # RuntimeError: the system refuses a thread
        _after_fork()
        log.event("error", f"RPC calls cannot reach this process: {path}: {error}")
        return False
    return True


def _bind(listener: socket.socket, path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    with short_path(path) as short:
        listener.bind(short)
    os.chmod(path, 0o600)
    _keep_open(path)


def _keep_open(path: str) -> None:
    global _file
    before, _file = _file, os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    if before >= 0:
        os.close(before)


class _Server:
    """The queue of calls and the threads that run them."""

    def __init__(self, listener: socket.socket, call: Call) -> None:
        self._listener = listener
        self._call = call
        soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._room = max(8, min(_WAITING, soft // 4)) if soft > 0 else _WAITING
        self._calls: deque[socket.socket] = deque()
        self._change = unpatched.Condition()
        self._threads = self._idle = 0
        self._said = -_SAY_AGAIN

    def accept(self) -> None:
        """Take calls for ever."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                unpatched.sleep(0.05)  # no descriptors left, perhaps not for long
                continue
            self._enqueue(connection)

    def _enqueue(self, connection: socket.socket) -> None:
        with self._change:
            while len(self._calls) >= self._room:
                self._change.wait()
            self._calls.append(connection)
            wanted = len(self._calls) > self._idle and self._threads < _CALLS
            self._threads += wanted
            self._change.notify_all()
        if wanted and not self._start_thread() and not self._threads:
            self._run_next()

    def _start_thread(self) -> bool:
        try:
            unpatched.thread(self._work, "ipcmules-rpc-call").start()
        except RuntimeError as error:  # RLIMIT_NPROC, or the pids limit of a cgroup
            with self._change:
                self._threads -= 1
            if time.monotonic() - self._said >= _SAY_AGAIN:
                self._said = time.monotonic()
                text = f"a thread for an RPC call was refused ({error}): calls wait for those there are"
                log.event("warning", f"{text}; raise the limit of processes (ulimit -u)")
            return False
        return True

    def _work(self) -> None:
        while self._wait():
            self._run_next()

    def _wait(self) -> bool:
        """Wait for a call. False if this thread is to end: there was none for a while."""
        with self._change:
            self._idle += 1
            there = bool(self._change.wait_for(lambda: self._calls, _LINGER))
            self._idle -= 1
            self._threads -= not there
            return there

    def _run_next(self) -> None:
        with self._change:
            if not self._calls:
                return  # another one was faster
            connection = self._calls.popleft()
            self._change.notify_all()
        try:
            with connection:
                if peer(connection).ours:
                    _answer(connection, self._call)
        except (OSError, packets.PacketError):
            pass  # it went, or is no bus's process: nothing was promised
        except Exception:
            log.exception("an RPC call:")


def _answer(connection: socket.socket, call: Call) -> None:
    deadline = time.monotonic() + _PATIENCE
    header = packets.unpack_header(packets.receive(connection, packets.HEADER_SIZE, deadline))
    strings = packets.unpack_strings(packets.receive(connection, header.size, deadline))
    if _has_gone(connection):
        return  # while the call waited here: nobody wants it any more
    connection.settimeout(_PATIENCE)
    name = tracing.without_context(strings[0])[0] if strings else b""
    try:
        with child.guarded(f"the RPC function {name!r}"):
            result = call(strings[0], strings[1:]) if strings else None
    except Exception:
        log.exception(f"the RPC function {name!r} raised:")
        running.count(R_EXCEPTIONS)
        return  # without a reply: None there
    if result is None:
        connection.sendall(packets.pack_header(packets.RPC, 0, packets.UNKNOWN_FUNCTION))
        return
    try:
        for part in packets.result_parts(result):
            _send(connection, part)
    except OSError as error:
        text = f"the result of RPC function {name!r} ({len(result)} bytes) was not read to its end"
        log.event("warning", f"{text}: {error.strerror or error}; give the caller more time (timeout=)")


def _has_gone(connection: socket.socket) -> bool:
    poll = unpatched_polls.poll()
    poll.register(connection, 0)  # POLLHUP comes unasked (poll(2))
    return bool(poll.poll(0))


def _send(connection: socket.socket, data: bytes) -> None:
    """As sendall(), whose time limit is for all of it: here it is for each step."""
    view = memoryview(data)
    while view:
        view = view[connection.send(view) :]


def _after_fork() -> None:
    """In a forked child nobody accepts: who connects must be refused when the parent has ended, not wait."""
    global _listener, _file
    if _listener is not None:
        _listener.close()
        _listener = None
    if _file >= 0:
        os.close(_file)
        _file = -1


os.register_at_fork(after_in_child=_after_fork)
