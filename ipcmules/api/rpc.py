"""RPC: functions that other processes may call by name, with bytes as arguments and result.

Exists before there is a bus. A process on a bus that has registered one serves calls on a daemon thread
(api/rpc_server.py), at a Unix socket in the bus's directory. Names, arguments and results as in uWSGI.
Knows membership and the wire.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ipcmules.api import presence
from ipcmules.bus import log
from ipcmules.bus.places import Places
from ipcmules.bus.table import R_EXCEPTIONS
from ipcmules.errors import IpcMulesError
from ipcmules.functions import coroutines, tracing
from ipcmules.kernel import unpatched
from ipcmules.kernel.exhaustion import importing
from ipcmules.member import membership
from ipcmules.member.membership import Membership
from ipcmules.process import hooks
from ipcmules.signals import running
from ipcmules.wire import packets

if TYPE_CHECKING:
    import socket

Function = Callable[..., Any]

#: Processes that can be named: mule1, worker3, spooler1.
_PROCESS = re.compile(r"(mule|worker|spooler)([1-9][0-9]{0,5})\Z")
#: The same on another host of the cluster: mule1@web2.
_HOSTED = re.compile(r"((?:mule|worker|spooler)[1-9][0-9]{0,5})@([A-Za-z0-9_.-]{1,64})\Z")
#: Seconds that a call takes at most where the caller says nothing.
TIMEOUT = 60.0

_functions: dict[bytes, Function] = {}
#: Pid and socket of the server that runs.
_started: tuple[int, str] = (0, "")
_starting = unpatched.RLock()


class RpcError(IpcMulesError, ValueError):
    """A name, function or argument that cannot be."""


class NoFunction(packets.WireRefused):
    """A process has no such function, and ran nothing."""


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
        running.count(R_EXCEPTIONS)
        return None


def rpc(
    node: str | bytes | None, name: str | bytes, *arguments: bytes | str, timeout: float = TIMEOUT
) -> bytes | None:
    """Call a function of another process: 'mule1', 'worker2', 'mule1@web2' of that host of the cluster,
    HOST:PORT, the path of a socket; '' is this one.

    timeout: seconds for all of it; a call that has not begun by then is not made. '' takes what it takes.
    Returns its result, None for any failure: nobody there, no such function, it raised, the time was over.
    Raises RpcError for what cannot be sent. From uWSGI's rpc(node, name, ...).
    """
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
        raise RpcError(f"timeout={timeout!r}: give the seconds that rpc() may take, more than 0")
    where = node.decode("utf-8", "surrogateescape") if isinstance(node, bytes) else node or ""
    packed = [_argument(each) for each in arguments]
    if not where:
        return call(name, *packed)
    try:
        if _PROCESS.match(where):
            return _ask_process(socket_path(membership.current().where, where), _name(name), packed, timeout)
        if hosted := _HOSTED.match(where):
            return _ask_host(hosted[1], hosted[2], _name(name), packed, timeout)
        return packets.send_call(_name(name), packed, where, timeout)
    except (packets.WireError, packets.WireRefused):
        return None


def _ask_host(process: str, host: str, name: bytes, arguments: list[bytes], timeout: float) -> bytes | None:
    member = membership.current()
    if not member.description.config.cluster:
        raise RpcError(
            f"{process}@{host} is on another host, and bus {member.where.bus!r} belongs to no cluster: start "
            "it with --cluster URL"
        )
    with importing:
        from ipcmules.api import hosted_calls

    return hosted_calls.call(member, process, host, name, arguments, timeout)


def _ask_process(path: str, name: bytes, arguments: list[bytes], timeout: float) -> bytes | None:
    """As ask(), with the context of a trace where there is one."""
    deadline = time.monotonic() + timeout
    traced = tracing.with_context(name)
    if traced != name and len(traced) <= packets.LARGEST:
        try:
            return ask(path, [traced, *arguments], timeout)
        except packets.WireRefused as error:
            if not isinstance(error, NoFunction):
                raise
        # A process of an older version knows no context, and has run nothing.
    return ask(path, [name, *arguments], max(deadline - time.monotonic(), 0.001))


def ask(path: str, strings: list[bytes], timeout: float = TIMEOUT) -> bytes | None:
    """Call a function at the socket of a process of this bus.

    Raises WireError if it is not there, WireRefused where it has no such function or gave no reply.
    """
    deadline = time.monotonic() + timeout
    with packets.connect(path, timeout) as connection:
        result = _ask(connection, path, strings, deadline)
    if result is None:
        raise NoFunction(f"{path} has no function {strings[0]!r}")
    return result


def _ask(connection: socket.socket, path: str, strings: list[bytes], deadline: float) -> bytes | None:
    """The result of a call over a connection; None if that process has no such function, and ran nothing."""
    packed = packets.pack_strings(strings)
    packet = packets.pack_header(packets.RPC, len(packed)) + packed
    header, result = packets.answer(connection, packet, deadline, path)
    return None if header.modifier2 == packets.UNKNOWN_FUNCTION else result


def anybody(where: Places, strings: list[bytes], timeout: float = TIMEOUT) -> bytes | None:
    """Call a function in the first process of a bus that has it, workers first; None if none has.

    In that one alone: where it raises, dies or does not answer in time, no other is asked, for nobody knows
    how far it came. Raises WireError, WireRefused then.
    """
    try:
        names = [each for each in os.listdir(where.runtime) if each.startswith("rpc.")]
    except OSError:
        return None
    for name in sorted(names, key=lambda each: (not each.startswith("rpc.worker"), len(each), each)):
        path = os.path.join(where.runtime, name)
        try:
            connection = packets.connect(path, timeout)
        except packets.WireError:
            continue  # it has ended: nothing was sent
        with connection:
            result = _ask(connection, path, strings, time.monotonic() + timeout)
        if result is not None:
            return result
    return None


def _answer(name: bytes, arguments: list[bytes]) -> bytes | None:
    name, carried = tracing.without_context(name)
    function = _functions.get(name)
    if function is None:
        return None
    return run(tracing.traced(function, f"rpc {name.decode('utf-8', 'replace')}", carried), arguments)


def run(function: Function, arguments: list[bytes]) -> bytes:
    """Call a function; its result as bytes. Raises what it raises, TypeError for one that is not bytes."""
    result = coroutines.call(function, *arguments)
    if result is None:
        return b""
    if isinstance(result, str):
        return result.encode()
    return bytes(memoryview(result))


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
        with importing:
            from ipcmules.api import rpc_server

        if rpc_server.start(wanted[1], _answer):
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
    _starting = unpatched.RLock()


os.register_at_fork(after_in_child=_after_fork)
