"""Asking the master: the client of the control socket, `<runtime directory>/<bus>/control.sock`.

One connection a question: a line of JSON there, a line of JSON back (docs/formats.md). Any thread of any
process of the bus's user may ask; nothing is kept open, so a fork needs no care. Knows places and liveness;
not what the questions mean.
"""

from __future__ import annotations

import json
import os
import socket
import time
from typing import Any

from ipcmules import errors
from ipcmules.bus import liveness
from ipcmules.bus.places import Places
from ipcmules.errors import BusStopped, IpcMulesError
from ipcmules.kernel import exhaustion
from ipcmules.kernel.peers import short_path

#: The longest question that the master takes, bytes. Whoever has more to say asks several times.
LONGEST = 1 << 20
#: Seconds that a master may take to answer. It is single-threaded, but nothing in it takes long.
TIMEOUT = 30.0
#: How long to wait before a master that lives and cannot be reached is tried again, seconds.
_PAUSE = 0.01


def ask(where: Places, question: dict[str, Any], timeout: float = TIMEOUT) -> dict[str, Any]:
    """Ask the master of a bus, and return its answer.

    question: what JSON can carry, with the verb under "do"; it may be asked twice where an answer is lost, so
        verbs are idempotent. timeout: seconds for all of it.
    Raises what the master answers as an error, by the name of its class (ipcmules.errors, else ValueError);
    LimitError without a descriptor; BusStopped if the bus has no master, or one that does not answer in time;
    ValueError for a question that is too long.
    """
    line = json.dumps(question).encode() + b"\n"
    if len(line) > LONGEST:
        raise ValueError(f"a question of {len(line)} bytes: the master takes at most {LONGEST}, ask in parts")
    deadline = time.monotonic() + timeout
    while True:
        answer = _try(where, line, deadline)
        if answer is not None:
            break
        if not liveness.is_alive(where):
            raise BusStopped(f"bus {where.bus!r} has stopped: nobody answers; try again when it is back")
        if time.monotonic() >= deadline:
            pid = liveness.holder(where)
            raise BusStopped(
                f"the master of bus {where.bus!r} (pid {pid}) did not answer within {timeout:g} s: "
                f"is it stopped? (kill -CONT {pid})"
            )
        time.sleep(_PAUSE)
    if "error" in answer:
        raise _error(answer)
    return answer


def _try(where: Places, line: bytes, deadline: float) -> dict[str, Any] | None:
    """One attempt; None if the master was not reached, or hung up before it answered. Raises LimitError."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_left(deadline))
            with short_path(address(where.runtime)) as short:
                connection.connect(short)
            connection.sendall(line)
            answer = _read_line(connection, deadline)
    except BlockingIOError:
        return None  # its backlog is full (EAGAIN)
    except OSError as error:  # not there (yet), it ended meanwhile, or the time is over
        if exhaustion.refused(error):
            raise exhaustion.explain(error, "the master cannot be asked") from error
        return None
    if not answer.endswith(b"\n"):
        return None
    found: dict[str, Any] = json.loads(answer)
    return found


def _read_line(connection: socket.socket, deadline: float) -> bytes:
    parts: list[bytes] = []
    while not (parts and parts[-1].endswith(b"\n")):
        connection.settimeout(_left(deadline))
        data = connection.recv(1 << 16)
        if not data:
            break
        parts.append(data)
    return b"".join(parts)


def _left(deadline: float) -> float:
    """Seconds left; never 0, which would make the socket a non-blocking one."""
    return max(deadline - time.monotonic(), 0.001)


def _error(answer: dict[str, Any]) -> Exception:
    kind = getattr(errors, str(answer["error"]), None)
    known = isinstance(kind, type) and issubclass(kind, IpcMulesError)
    made: Exception = kind(answer.get("text", "")) if known and kind else ValueError(answer.get("text", ""))
    return made


def address(directory: str) -> str:
    """The path of the control socket of the bus with this runtime directory."""
    return os.path.join(directory, "control.sock")
