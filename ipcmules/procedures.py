"""RPC: functions that other processes may call by name, with bytes as arguments and result.

Exists before there is a bus. A process on a bus that has registered one serves calls on a daemon thread
(procedure_server.py), at a Unix socket in the bus's directory. Names, arguments and results as in uWSGI.
Knows membership and the wire.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from typing import Any

from ipcmules import log, membership, presence, wire
from ipcmules.errors import IpcMulesError
from ipcmules.membership import Membership
from ipcmules.mule import hooks
from ipcmules.places import Places

Function = Callable[..., Any]

#: Processes that can be named: mule1, worker3, spooler1.
_PROCESS = re.compile(r"(mule|worker|spooler)([1-9][0-9]{0,5})\Z")
#: modifier2 of the reply where the process has no such function.
UNKNOWN = 254

_functions: dict[bytes, Function] = {}
#: Pid and socket of the server that runs.
_started: tuple[int, str] = (0, "")
_starting = threading.Lock()


class RpcError(IpcMulesError, ValueError):
    """A name, function or argument that cannot be."""


def register_rpc(name: str | bytes, function: Function, argc: int = 0) -> bool:
    """Let other processes call a function: rpc("mule1", name, ...). Returns True.

    name: str or bytes; registered again, the new function takes its place. function is called with bytes, as
    many as the caller gives, and returns bytes or str (None is b""). argc is taken for uWSGI's sake.
    Raises RpcError. From uWSGI's register_rpc.
    """
    if not callable(function):
        raise RpcError(f"register_rpc() takes a function, not {function!r}")
    first = not _functions
    _functions[_name(name)] = function
    if first:
        hooks.add_post_fork(hooks.PostFork(_serve_here))
        presence.also_when(lambda: bool(_functions), _served)
    member = membership.find()
    if member is not None:
        presence.ensure(member)
        _serve(member)
    return True


def rpc_list() -> tuple[bytes, ...]:
    """The names registered in this process, in order."""
    return tuple(_functions)


def call(name: str | bytes, *arguments: bytes | str) -> bytes | None:
    """Call a function of this process by its name; None if there is none or it raised (logged)."""
    function = _functions.get(_name(name))
    if function is None:
        return None
    packed = [_argument(each) for each in arguments]
    try:
        return run(function, packed)
    except Exception:
        log.exception(f"the RPC function {name!r} raised:")
        return None


def rpc(node: str | bytes | None, name: str | bytes, *arguments: bytes | str) -> bytes | None:
    """Call a function of another process: 'mule1', 'worker2', HOST:PORT, the path of a socket; '' is this
    one.

    Returns its result, None for any failure: nobody there, no such function, it raised.
    Raises RpcError for what cannot be sent. From uWSGI's rpc(node, name, ...).
    """
    where = node.decode("utf-8", "surrogateescape") if isinstance(node, bytes) else node or ""
    packed = [_argument(each) for each in arguments]
    if not where:
        return call(name, *packed)
    try:
        if _PROCESS.match(where):
            return ask(socket_path(membership.current().where, where), [_name(name), *packed])
        return wire.send_call(_name(name), packed, where)
    except (wire.WireError, wire.WireRefused):
        return None


def ask(path: str, strings: list[bytes], timeout: float = 60.0) -> bytes | None:
    """Call a function at the socket of a process of this bus. Raises WireError if it is not there."""
    packed = wire.pack_strings(strings)
    packet = wire.pack_header(wire.RPC, len(packed)) + packed
    with wire.connect(path, timeout) as connection:
        header, result = wire.answer(connection, packet, time.monotonic() + timeout, path)
    if header.modifier2 == UNKNOWN:
        raise wire.WireRefused(f"{path} has no function {strings[0]!r}")
    return result


def anybody(where: Places, strings: list[bytes]) -> bytes | None:
    """Call a function of the first process of a bus that has it, workers first; None if none has."""
    try:
        names = [each for each in os.listdir(where.runtime) if each.startswith("rpc.")]
    except OSError:
        return None
    for name in sorted(names, key=lambda each: (not each.startswith("rpc.worker"), len(each), each)):
        try:
            return ask(os.path.join(where.runtime, name), strings)
        except (wire.WireError, wire.WireRefused):
            continue
    return None


def run(function: Function, arguments: list[bytes]) -> bytes:
    """Call a function; its result as bytes. Raises what it raises, TypeError for a result that is not
    bytes."""
    result = function(*arguments)
    if result is None:
        return b""
    if isinstance(result, str):
        return result.encode()
    return bytes(memoryview(result))


def find(name: bytes) -> Function | None:
    """The function of that name in this process."""
    return _functions.get(name)


def socket_path(where: Places, process: str) -> str:
    """Where a process ('mule1') listens for calls."""
    return os.path.join(where.runtime, f"rpc.{process}")


def _serve_here() -> None:
    member = membership.peek()
    if member is not None:
        _serve(member)


def _served(member: Membership) -> None:
    """This attached process has a worker number now."""
    _serve(member)


def _serve(member: Membership) -> None:
    """Listen, in a process that has a number."""
    global _started
    launched = member.role in ("mule", "spooler")
    role, number = (member.role, member.number) if launched else ("worker", member.worker)
    if not number or not _functions:
        return
    wanted = os.getpid(), socket_path(member.where, f"{role}{number}")
    with _starting:
        if _started == wanted:
            return
        from ipcmules import procedure_server

        procedure_server.start(wanted[1])
        _started = wanted


def _name(name: object) -> bytes:
    if isinstance(name, str):
        name = name.encode()
    if isinstance(name, bytes) and name:
        return name
    raise RpcError(f"the name of an RPC function is bytes or str, not {name!r}")


def _argument(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise RpcError(f"arguments of an RPC function are bytes or str, not {value!r}: serialise it first")


def _after_fork() -> None:
    global _starting
    _starting = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
