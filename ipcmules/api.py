"""The flat functions of messages, and of who and where this process is: mule_msg, mule_id and the rest.

Names, arguments and results follow uWSGI's Python module where it has them. Knows membership and the
parts under it; keeps no state but what makes the common call short.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipcmules import inlining, membership
from ipcmules.errors import BusStopped, MessageTypeError, NotAMule, NotAttached, UnknownTarget
from ipcmules.membership import Membership

Message = bytes | bytearray | memoryview | str

_senders = membership.senders


# Messages


def mule_msg(
    message: Message, mule: int | str | bytes = 0, timeout: float | None = None, priority: int = 0
) -> bool:
    """Send a message to a mule, to the pool (0: the first available mule), or to a farm (by name).

    message: bytes or any bytes-like object of any size; str goes as UTF-8.
    timeout: seconds to wait while the queue and this process's buffer are full; None waits for ever,
        0 not at all.
    priority: 0 to 32767; higher ones overtake lower ones that are still queued.
    Returns True once the message is accepted (in the kernel or, for one mule, in this process's bounded
    buffer), False when the timeout is over: then it was not sent.
    Raises UnknownTarget for a mule or farm this bus does not have, MessageTypeError, NotAttached.
    From uWSGI's mule_msg(message[, mule]).
    """
    if type(message) is not bytes:
        message = _as_bytes(message, "mule_msg")
    if timeout is not None:
        timeout = checked_timeout(timeout)
    try:
        send = _senders.get(mule)
    except TypeError:  # not hashable, so it names nothing
        send = None
    if send is None:
        send = _sender(mule)
    try:
        return send(message, timeout, priority)
    except BusStopped:
        after_stop(f"a message of {len(message)} bytes was not accepted; send it")
    return _sender(mule)(message, timeout, priority)


def farm_msg(farm: str | bytes, message: Message, timeout: float | None = None, priority: int = 0) -> bool:
    """Send a message to a farm: the first available mule of it receives it.

    Arguments, result and errors as in mule_msg. From uWSGI's farm_msg(farm, message).
    """
    if not isinstance(farm, (str, bytes)):
        raise UnknownTarget(f"farm_msg() takes the name of a farm first, not {farm!r}")
    return mule_msg(message, farm, timeout, priority)


def checked_timeout(timeout: Any) -> float:
    """A timeout in seconds, or ValueError."""
    if isinstance(timeout, (int, float)) and timeout >= 0:
        return timeout
    raise ValueError(f"timeout={timeout!r}: give seconds, 0 or more, or None to wait for ever")


def _as_bytes(message: Any, call: str) -> bytes:
    if isinstance(message, str):
        try:
            return message.encode()
        except UnicodeEncodeError as error:
            raise MessageTypeError(
                f"{call}(): this text cannot be sent as UTF-8: {error}; send bytes"
            ) from error
    try:
        return bytes(memoryview(message))
    except TypeError:
        pass
    raise MessageTypeError(
        f"{call}() takes bytes, a bytes-like object or str, not {type(message).__name__}: "
        "serialise it first, for example with json.dumps(message) or pickle.dumps(message)"
    )


def after_stop(what: str) -> None:
    """The bus ended under a call, which had no effect: join its successor if there is one."""
    member = membership.peek()
    where = member.where if member is not None else None
    membership.leave()
    if where is None:
        return
    try:
        membership.join(where, "attached")
    except NotAttached as error:
        raise BusStopped(f"bus {where.bus!r} has stopped: {what} again when the bus is back") from error


def _sender(target: int | str | bytes) -> Callable[..., bool]:
    """The send function for mule_msg's second argument, remembered for the next call."""
    inline = inlining.current
    if inline is not None:
        return lambda message, _timeout, _priority: inline.message(message, target)
    member = membership.current()
    send = member.post.outbox(_endpoint(member, target)).send
    _senders[target] = send
    return send


def _endpoint(member: Membership, target: int | str | bytes) -> str:
    config = member.description.config
    if not config.mules:
        raise UnknownTarget(f"no mule configured: bus {member.where.bus!r} has none; start it with --mule")
    if isinstance(target, (str, bytes)):
        name = target if isinstance(target, str) else target.decode("utf-8", "replace")
        if all(each.name != name for each in config.farms):
            known = ", ".join(each.name for each in config.farms) or "none"
            raise UnknownTarget(f"unknown farm {name!r}: this bus has {known}; add --farm {name}:1,2")
        return f"farm.{name}"
    if isinstance(target, bool) or not isinstance(target, int):
        raise UnknownTarget(f"mule {target!r} cannot be: give a mule's number or a farm's name")
    if not 0 <= target <= len(config.mules):
        raise UnknownTarget(
            f"unknown mule {target}: this bus has mules 1 to {len(config.mules)}, and 0 is any of them"
        )
    return f"mule{target}" if target else "pool"


def mule_get_msg(
    signals: bool = True,
    farms: bool = True,
    buffer_size: int = 65536,
    timeout: float | None = -1,
) -> bytes | None:
    """Wait for a message to this mule, to the pool or to one of its farms.

    signals: run the handlers of signals that arrive meanwhile, and go on waiting.
    farms: receive the messages of this mule's farms too.
    buffer_size: taken for uWSGI's sake; a message of any size comes whole.
    timeout: seconds; 0 looks once, negative or None waits for ever.
    Returns the message, or None when the timeout is over. Receiving again says that this thread has done
    the message it had. Once the bus is stopping and nothing is left to receive it raises SystemExit.
    Raises NotAMule outside a mule. From uWSGI's mule_get_msg.
    """
    # Whatever else was asked for, what is loaded comes first: one call for most messages of a busy mule.
    message = membership.next_message()
    if message is not None:
        return message
    member = membership.peek()
    inbox = member.inbox if member is not None else None
    if inbox is None:
        raise _not_a_mule("mule_get_msg")
    if timeout is not None and timeout < 0:
        timeout = None
    return inbox.receive(timeout, signals, farms, run_signal)


def farm_get_msg(timeout: float | None = -1) -> bytes | None:
    """Wait for a message to one of the farms this mule is in, handling signals meanwhile.

    timeout and result as in mule_get_msg. Raises NotAMule outside a mule, or in a mule of no farm.
    """
    member = membership.peek()
    inbox = member.inbox if member is not None else None
    if inbox is None or member is None:
        raise _not_a_mule("farm_get_msg")
    if not member.farms():
        raise NotAMule(
            f"mule {member.number} is in no farm, so farm_get_msg() would never return: add it to one"
        )
    if timeout is not None and timeout < 0:
        timeout = None
    return inbox.get_farm(timeout, True, run_signal)


def _not_a_mule(call: str) -> NotAMule:
    member = membership.peek()
    what = "a process on no bus" if member is None else f"a process of role {member.role!r}"
    return NotAMule(f"{call}() works in a mule; this is {what}: have a mule receive, with --mule=PROGRAM")


def flush(timeout: float | None = None) -> bool:
    """Wait until everything this process has sent is in the kernel.

    timeout: seconds, None waits for ever. Returns False if it was over first.
    """
    member = membership.peek()
    return True if member is None else member.post.flush(timeout)


def install_mule_msg_hook(hook: Callable[[bytes], Any]) -> None:
    """Have hook(message) called for each message that a signal-only mule receives.

    Hooks are called in the order in which they were installed. From uWSGI 2.1's function of that name.
    """
    if not callable(hook):
        raise TypeError(f"install_mule_msg_hook() takes a function, not {hook!r}")
    from ipcmules.mule import hooks

    hooks.install(hook)


def set_user_harakiri(seconds: float) -> None:
    """Have this mule (or worker of --processes) killed unless this is called again within so many seconds.

    0 takes it back. The log then shows the Python stack of every thread, and the message in hand is kept.
    Raises NotAMule elsewhere, ValueError for a negative time. From uWSGI's set_user_harakiri.
    """
    from ipcmules.mule import harakiri

    harakiri.set_user(seconds)


def run_signal(shared: int, unregistered: str = "log") -> None:
    """Run the handler of a shared signal number here."""
    # Imported when the first signal comes: a process that only sends does not need it.
    from ipcmules.mule import dispatch

    dispatch.run_signal(shared, unregistered)


# Who and where


def mule_id() -> int:
    """The number of this mule, 0 in any other process."""
    member = membership.peek()
    return member.number if member is not None and member.role == "mule" else 0


def worker_id() -> int:
    """The number of this worker, 0 in a mule, a shell, or a process that serves no signals."""
    member = membership.find()
    return member.worker if member is not None else 0


def in_farm(name: str | bytes | None = None) -> bool | None:
    """True if this mule is in the named farm (or, without a name, in any); None otherwise, as in uWSGI."""
    member = membership.peek()
    if member is None:
        return None
    if isinstance(name, bytes):
        name = name.decode("utf-8", "replace")
    farms = member.farms()
    return True if (name in farms if name is not None else farms) else None


def masterpid() -> int:
    """The pid of the bus's master, 0 in a process that is on no bus."""
    member = membership.find()
    return member.description.master.pid if member is not None else 0


def settings() -> dict[str, str]:
    """What --set K=V (or Bus(settings=...)) gave this bus for the app; empty on no bus."""
    member = membership.find()
    return dict(member.description.config.settings) if member is not None else {}
