"""This process's way to the carrier: messages to publish, deliveries that are done.

A connection serves one question at a time; who asks takes an idle one, or opens another. So threads do not
wait for each other, and neither does a signal handler that asks in the middle of a question. Where a question
was cut off its connection is closed. Knows the outbox, and sockets in the bus's directory.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import Any

from ipcmules.bus import log
from ipcmules.bus.places import Places
from ipcmules.cluster import outbox, questions
from ipcmules.errors import LimitError, UnknownTarget
from ipcmules.kernel import unpatched
from ipcmules.kernel.peers import short_path
from ipcmules.kernel.unpatched_sockets import Socket

#: An answer of the cluster's takes that long when all is well, seconds.
FIRST = 0.25
#: Between two tries to reach a carrier that is being started, seconds.
_AGAIN = 0.05
#: The carrier answers at once that a delivery is done, or it is stopped: then a file says so, seconds.
_DONE = 5.0
#: An answer comes so long after the time that the carrier was given, at most, seconds.
_LATER = 2.0
#: So long a question without an end waits before it looks whether the bus still lives, seconds.
_LOOK = 1.0
#: So many bytes of a large message are stored in a second, at least: one try takes longer for it.
_A_SECOND = 4 << 20

_idle: list[socket.socket] = []


class Away(OSError):
    """No carrier answers."""


def publish(
    where: Places, farm: str, body: bytes, timeout: float | None, check: Callable[[], object]
) -> bool:
    """Have a message stored by the cluster. True once it is; False when the timeout is over.

    timeout: seconds, None for ever; the cluster has at least FIRST to answer. check: called now and then
    while it waits, to raise where the bus is over. A message that was False may still be under way: who sends
    it again sends another one. farm: or an address. Raises LimitError with the reason where the cluster
    refuses it, UnknownTarget where it knows nobody of that address.
    """
    called = outbox.name()
    deadline = None if timeout is None else time.monotonic() + max(timeout, FIRST)
    longest = _LOOK + len(body) / _A_SECOND
    while True:
        left = longest if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return False
        allowed = min(left, longest)
        head = {"do": "publish", "farm": farm, "name": called, "seconds": allowed}
        try:
            answer, _ = ask(where, head, body, allowed + _LATER)
        except OSError:
            check()
            unpatched.sleep(min(_AGAIN, left))
            continue
        if answer["said"] == "stored":
            return True
        if answer["said"] == "refused":
            if answer.get("unknown"):
                raise UnknownTarget(answer["why"])
            raise LimitError(f"a message of {len(body)} bytes to {outbox.endpoint(farm)!r}: {answer['why']}")
        check()


def done(where: Places, token: str) -> None:
    """Say that a delivery is done: to the carrier, or where none answers in a file for the next one."""
    try:
        ask(where, {"do": "done", "token": token}, b"", _DONE)
    except OSError:
        try:
            outbox.done(where, token)
        except OSError as error:
            log.event(
                "error", f"nobody can be told that a message of the cluster is done ({error}): it comes again"
            )


def ask(where: Places, head: dict[str, Any], body: bytes, seconds: float) -> tuple[dict[str, Any], bytes]:
    """Ask the carrier, and wait so long for its answer. Raises OSError where none comes."""
    packed = questions.pack(head, body)
    try:
        connection = _idle.pop()
    except IndexError:
        connection = None
    if connection is not None:
        try:
            return _ask(connection, packed, seconds)
        except (ConnectionError, BrokenPipeError):
            pass  # the carrier that it led to has ended: perhaps there is another one
    return _ask(connect(where), packed, seconds)


def ask_once(
    where: Places, head: dict[str, Any], body: bytes, seconds: float
) -> tuple[dict[str, Any], bytes]:
    """As ask(), and never a second time: Away where nothing was sent, OSError where something may have
    been.
    """
    try:
        connection = connect(where)
    except OSError as error:
        raise Away(str(error)) from error
    return _ask(connection, questions.pack(head, body), seconds)


def connect(where: Places) -> socket.socket:
    """A connection of its own to the carrier. Raises OSError where there is none."""
    connection = Socket(socket.AF_UNIX)
    try:
        with short_path(questions.socket_path(where)) as path:
            connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


def _ask(connection: socket.socket, packed: bytes, seconds: float) -> tuple[dict[str, Any], bytes]:
    try:
        connection.settimeout(seconds)
        connection.sendall(packed)
        found = questions.receive(connection)
    except BaseException:
        connection.close()
        raise
    _idle.append(connection)
    return found


def forget() -> None:
    """Close the connections that nobody uses: they lead to the carrier of another bus."""
    while _idle:
        _idle.pop().close()


os.register_at_fork(after_in_child=forget)
