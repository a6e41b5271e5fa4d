"""Messages that this process has handed to the carrier and does not wait for: farm_msg(..., wait=False).

They go one after the other over a connection of their own, and the carrier answers each once the cluster
stores it. Until then this process keeps it, so that it is sent again under its name where the carrier dies.
There is no thread: answers are read by the next send and by flush(). Knows the way to the carrier.
"""

from __future__ import annotations

import atexit
import os
import select
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from ipcmules.bus.places import Places
from ipcmules.cluster import client, outbox, questions
from ipcmules.kernel import unpatched, unpatched_polls

#: So many messages, and so many bytes, are under way at most; then a send waits.
MOST, MOST_BYTES = 1000, 16 << 20
#: The carrier tries so long to have one stored, seconds.
_SECONDS = 86400.0
#: Between two tries to reach a carrier that is being started, seconds.
_AGAIN = 0.05
#: So long it is waited before it is looked whether the bus still lives, seconds.
_LOOK = 1.0
#: At the end of a process its messages have so long, seconds.
_LAST = 5.0

#: Makes messages dead letters: (messages, where they were sent, the reason).
Keep = Callable[[Sequence[bytes], str, str], object]


class Pipeline:
    """Those of one bus. Its calls are for one thread at a time."""

    def __init__(self, where: Places, check: Callable[[], object], keep: Keep) -> None:
        """check: raises where the bus is over. keep: puts away what the cluster refuses."""
        self.where = where
        self.pending: OrderedDict[str, tuple[str, bytes]] = OrderedDict()
        self._check = check
        self._keep = keep
        self._bytes = 0
        self._connection: socket.socket | None = None
        self._received = bytearray()

    def joined(self, check: Callable[[], object], keep: Keep | None = None) -> None:
        """The bus may be another one of that name by now. Arguments: as of __init__."""
        self._check = check
        self._keep = keep or self._keep

    def send(self, farm: str, body: bytes, timeout: float | None) -> bool:
        """Hand a message over. False where too many were under way for so long, seconds."""
        if not self._wait(lambda: self._has_room(len(body)), timeout):
            return False
        if self._connection is None and not self._reach():
            self._check()
        called = outbox.name()
        self.pending[called] = (farm, body)
        self._bytes += len(body)
        self._transmit([called])
        return True

    def flush(self, timeout: float | None) -> bool:
        """Wait until the cluster stores all of them. False where the time is over."""
        return self._wait(lambda: not self.pending, timeout)

    def _has_room(self, size: int) -> bool:
        few = len(self.pending) < MOST and self._bytes + size <= MOST_BYTES
        return few or not self.pending

    def _wait(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        self._read(0)
        while not condition():
            left = _LOOK if deadline is None else min(_LOOK, deadline - time.monotonic())
            if left <= 0:
                return False
            if self._connection is None and not self._reach():
                unpatched.sleep(min(_AGAIN, left))
            else:
                self._read(left)
            self._check()
        return True

    # The connection

    def _reach(self) -> bool:
        """Connect, and send what is pending. False where no carrier is there."""
        try:
            self._connection = client.connect(self.where)
        except OSError:
            return False
        self._received.clear()
        self._transmit(list(self.pending))
        return self._connection is not None

    def _transmit(self, names: list[str]) -> None:
        for name in names:
            farm, body = self.pending.get(name, ("", b""))
            if not farm or self._connection is None:
                continue
            head = {"do": "publish", "farm": farm, "name": name, "seconds": _SECONDS, "apart": True}
            try:
                self._connection.settimeout(None)
                self._connection.sendall(questions.pack(head, body))
            except OSError:
                self.close()
            except BaseException:  # a signal handler of the program: nobody knows how far it came
                self.close()
                raise

    def _read(self, seconds: float) -> None:
        """Take the answers that are there, or come within so many seconds."""
        while self._connection is not None and _is_readable(self._connection, seconds):
            try:
                part = self._connection.recv(1 << 16)
                self._received += part
                self._take()
            except OSError:
                part = b""
            except BaseException:  # as in _transmit()
                self.close()
                raise
            if not part:
                self.close()
                return
            seconds = 0

    def _take(self) -> None:
        size = questions.LENGTHS.size
        while len(self._received) >= size:
            head, body = questions.LENGTHS.unpack_from(self._received)
            if len(self._received) < size + head + body:
                return
            answer = questions.load(bytes(self._received[size : size + head]))
            del self._received[: size + head + body]
            self._settle(answer)

    def _settle(self, answer: dict[str, Any]) -> None:
        name = str(answer.get("name"))
        farm, body = self.pending.get(name, ("", b""))
        if not farm:
            return
        if answer["said"] == "away":
            self._transmit([name])
            return
        if answer["said"] == "refused":
            self._keep([body], outbox.endpoint(farm), str(answer["why"]))
        del self.pending[name]
        self._bytes -= len(body)

    def close(self) -> None:
        """Hang up; what is pending stays."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _is_readable(connection: socket.socket, seconds: float) -> bool:
    poll = unpatched_polls.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(max(seconds, 0) * 1000))


_turn = unpatched.RLock()
#: The thread that is in a call: a signal handler of it must not begin another one.
_inside = 0
_pipeline: Pipeline | None = None


def send(
    where: Places,
    farm: str,
    body: bytes,
    timeout: float | None,
    check: Callable[[], object],
    keep: Keep,
) -> bool:
    """Hand a message over to the carrier; True says that this was done. False: too many are under way."""
    global _inside, _pipeline
    if _inside == unpatched.get_ident():  # a signal handler in the middle of another send
        return client.publish(where, farm, body, timeout, check)
    with _turn:
        _inside = unpatched.get_ident()
        try:
            if _pipeline is None or _pipeline.where != where:
                _pipeline = Pipeline(where, check, keep)
            _pipeline.joined(check, keep)
            return _pipeline.send(farm, body, timeout)
        finally:
            _inside = 0


def under_way() -> bool:
    """True if something was not said to be stored yet."""
    return _pipeline is not None and bool(_pipeline.pending)


def flush(timeout: float | None, check: Callable[[], object] = lambda: None) -> bool:
    """Wait until all of them are stored; False where the time is over. Refused ones are dead letters then.

    check: as of Pipeline.
    """
    global _inside
    if _pipeline is None or _inside == unpatched.get_ident():
        return True
    with _turn:
        _inside = unpatched.get_ident()
        try:
            _pipeline.joined(check)
            return _pipeline.flush(timeout)
        finally:
            _inside = 0


def _at_exit() -> None:
    try:
        flush(_LAST)
    except Exception:
        pass  # the bus is over


def _after_fork() -> None:
    """What is under way is the parent's."""
    global _turn, _inside, _pipeline
    if _pipeline is not None:
        _pipeline.close()
    _turn, _inside, _pipeline = unpatched.RLock(), 0, None


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork)
