"""The flat functions of messages: mule_msg, farm_msg, mule_get_msg and the rest.

Names, arguments and results follow uWSGI's Python module where it has them. Knows membership and the
parts under it; keeps no state but what makes the common call short.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from ipcmules.api.calls import after_stop, checked_timeout, over_stops, run_signal
from ipcmules.bus.places import NAME
from ipcmules.errors import BusStopped, MessageTypeError, NotAMule, UnknownTarget
from ipcmules.kernel.exhaustion import importing
from ipcmules.kernel.undisturbed import undisturbed
from ipcmules.kernel.unpatched import get_ident
from ipcmules.member import inlining, membership
from ipcmules.member.membership import Membership

if TYPE_CHECKING:
    from ipcmules.messages.send.outbox import Outbox

Message = bytes | bytearray | memoryview | str

_senders = membership.senders

#: A message given in place of a farm's name is not shown whole.
_SHOWN = 40


def mule_msg(
    message: Message,
    mule: int | str | bytes = 0,
    timeout: float | None = None,
    priority: int = 0,
    store_and_forward: bool = False,
) -> bool:
    """Send a message to a mule, to the pool (0: the first available mule), or to a farm (by name).

    "2@web1" is mule 2 of host web1 of the cluster, "0@web1" its pool, "mail@web1" a farm of it: True means
    then what it means of a farm of the cluster (farm_msg()).

    message: bytes or any bytes-like object of any size; str goes as UTF-8.
    timeout: seconds to wait while as much waits behind the queue as may (--queue-messages,
        --queue-bytes); None waits for ever, 0 not at all.
    priority: 0 to 32767; higher ones overtake lower ones that are still queued.
    Returns True once the message is accepted: it is out of this process's hands, whatever becomes of it.
    False when the timeout is over: then it was not sent. Raises UnknownTarget for a mule or farm this bus
    does not have, or a host the cluster does not know, MessageTypeError, NotAttached. From uWSGI's
    mule_msg(message[, mule]).
    """
    # What nearly every call is, so each step in here counts; _send() is the same with everything it may need.
    # And no argument is for keywords alone: CPython (3.11 to 3.13) calls such functions a longer way, 30 ns.
    if timeout is None and type(message) is bytes and not store_and_forward:
        try:
            send = _senders[mule]
        except (KeyError, TypeError):
            return _send(message, mule, None, priority)
        try:
            return send(message, None, priority)
        except BusStopped:
            return _send_again(message, mule, None, priority)
    if type(message) is not bytes:
        message = _as_bytes(message, "mule_msg")
    if store_and_forward:
        return _store(message, mule, priority)
    return _send(message, mule, None if timeout is None else checked_timeout(timeout), priority)


def _send(message: bytes, target: int | str | bytes, timeout: float | None, priority: int) -> bool:
    """Send to any target; mule_msg() remembers it for the next call."""
    try:
        send = _senders.get(target)
    except TypeError:  # not hashable, so it names nothing
        send = None
    if send is None:
        send = _sender(target)
    began = None if timeout is None else monotonic()
    try:
        return send(message, timeout, priority)
    except BusStopped:
        left = None if timeout is None or began is None else max(0.0, timeout - (monotonic() - began))
    return _send_again(message, target, left, priority)


def _send_again(message: bytes, target: int | str | bytes, left: float | None, priority: int) -> bool:
    """The bus had stopped: wait for the next one of its name, at most so many seconds, and send it there."""
    after_stop(f"a message of {len(message)} bytes was not accepted; send it", left)
    return _sender(target)(message, left, priority)


def farm_msg(
    farm: str | bytes,
    message: Message,
    timeout: float | None = None,
    priority: int = 0,
    store_and_forward: bool = False,
    wait: bool = True,
) -> bool:
    """Send a message to a farm: the first available mule of it receives it.

    Arguments, result and errors as in mule_msg. Of a farm of the cluster (--cluster-farm) the mule may be on
    any host, and True means that the cluster has stored the message; with store_and_forward that it is on
    this host's disk, from where it is sent on; with wait=False that it is on its way, and flush() waits until
    it is stored. From uWSGI's farm_msg(farm, message).
    """
    if timeout is None and type(message) is bytes and type(farm) is str and wait and not store_and_forward:
        # As in mule_msg().
        try:
            send = _senders[farm]
        except KeyError:
            return _send(message, farm, None, priority)
        try:
            return send(message, None, priority)
        except BusStopped:
            return _send_again(message, farm, None, priority)
    if not isinstance(farm, (str, bytes)):
        raise UnknownTarget(f"farm_msg() takes the name of a farm first, not {farm!r}")
    if not wait and not store_and_forward:
        data = message if type(message) is bytes else _as_bytes(message, "farm_msg")
        return _send_on(data, farm, None if timeout is None else checked_timeout(timeout), priority)
    return mule_msg(message, farm, timeout, priority, store_and_forward=store_and_forward)


def _send_on(message: bytes, farm: str | bytes, timeout: float | None, priority: int) -> bool:
    """Send without waiting for the cluster; to a farm of this bus as ever."""
    if inlining.current is None and membership.current().description.config.cluster:
        with importing:
            from ipcmules.api import clustered

        what = f"a message of {len(message)} bytes was not accepted; send it"
        sent = over_stops(
            lambda left: clustered.send_on(membership.current(), farm, message, left, priority), what, timeout
        )
        if sent is not None:
            return sent
    return _send(message, farm, timeout, priority)


def _store(message: bytes, target: int | str | bytes, priority: int) -> bool:
    """Store a message that goes to the cluster on this disk."""
    with importing:
        from ipcmules.api import clustered

    return clustered.store_and_forward(target, message, priority)


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


def _sender(target: int | str | bytes) -> Callable[..., bool]:
    """The send function for mule_msg's second argument, remembered for the next call."""
    inline = inlining.current
    if inline is not None:
        return lambda message, _timeout, _priority: inline.message(message, target)
    member = membership.current()
    send = _to_cluster(member, target) or _here(member, target)
    _senders[target] = send
    return send


def _here(member: Membership, target: int | str | bytes) -> Callable[..., bool]:
    """What sends to this bus: the outbox itself, unless the app has to do with OpenTelemetry."""
    with undisturbed:
        from ipcmules.functions import tracing

    outbox = member.post.outbox(_endpoint(member, target))
    if not tracing.may_come(_senders.clear):
        return outbox.send
    return partial(_send_traced, outbox, tracing.context_for)


def _send_traced(
    outbox: Outbox,
    context_for: Callable[[bytes], bytes],
    message: bytes,
    timeout: float | None,
    priority: int,
) -> bool:
    context = context_for(message)
    if context:
        return outbox.send_with(message, context, timeout, priority)
    return outbox.send(message, timeout, priority)


def _to_cluster(member: Membership, target: int | str | bytes) -> Callable[..., bool] | None:
    """What sends to a farm of the cluster, or to an address; None where the target is neither."""
    if not isinstance(target, (str, bytes)) or not member.description.config.cluster:
        return None
    with importing:
        from ipcmules.api import clustered

    return clustered.sender(member, target)


def waits_for_cluster(target: int | str | bytes) -> bool:
    """True if a send to this target waits for the cluster's answer, which comes over the network."""
    return (
        isinstance(target, (str, bytes))
        and inlining.current is None
        and _to_cluster(membership.current(), target) is not None
    )


def redelivered() -> int:
    """How often the message that this thread has in hand was delivered before, to any mule of any host.

    More than 0 only for a message to a farm of the cluster (--cluster-farm), or from another host: somebody
    died with it, or was not heard of, and how far that one came nobody knows. 0 for every other message, and
    where nothing is in hand.
    """
    member = membership.peek()
    deliveries = getattr(member.inbox, "deliveries", None) if member is not None else None
    return 0 if deliveries is None else max(0, deliveries() - 1)


def received_context() -> dict[str, str]:
    """The OpenTelemetry context that came with the message in this thread's hand.

    As propagators read it: `propagate.extract(received_context())`. {} where none came: the sender did not
    trace, or the message was kept and sent again; and where nothing is in hand.
    """
    with importing:
        from ipcmules.functions import tracing

    member = membership.peek()
    inbox = member.inbox if member is not None else None
    return {} if inbox is None else tracing.carrier_of(inbox.context())


def _endpoint(member: Membership, target: int | str | bytes) -> str:
    config = member.description.config
    if not config.mules:
        raise UnknownTarget(f"no mule configured: bus {member.where.bus!r} has none; start it with --mule")
    if isinstance(target, (str, bytes)):
        name = target if isinstance(target, str) else target.decode("utf-8", "replace")
        if len(name) > 3 * _SHOWN or not NAME.match(name.partition("@")[0]):
            shown = f"{target[:_SHOWN]!r}{'...' if len(target) > _SHOWN else ''}"
            raise UnknownTarget(
                f"{shown} can be no farm's name: it has letters, digits, '_', '.' and '-' alone, 64 at most; "
                "give the farm first in farm_msg(farm, message), second in mule_msg(message, farm)"
            )
        if "@" in name:
            raise UnknownTarget(
                f"{name!r} is on another host, and bus {member.where.bus!r} belongs to no cluster: start it "
                "with --cluster URL"
            )
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
    Calls of @mulefunc functions run here and are not returned.
    Returns the message, or None when the timeout is over. Receiving again says that this thread has done
    the message it had. Once the bus is stopping and nothing is left to receive it raises SystemExit.
    Raises NotAMule outside a mule. From uWSGI's mule_get_msg.
    """
    # A message that has been returned to this function is returned in one stretch (kernel/interruption.py).
    carried = membership.carried
    if not carried:
        # Whatever else was asked for, what is loaded comes first. So is nearly every message of a busy mule:
        # this is Handout.next(), and each call in here counts. The clock, as a handler may have taken long
        # since the last one; the thread's hand; and a step of an iterator that threads share.
        ready = membership.ready
        if ready.loaded:
            me = get_ident()
            try:
                hand = ready.hands[me]
            except KeyError:  # never a signal handler's: there is no call in between
                hand = None
            if hand is not None and monotonic() < hand.look_at:
                for mark, message in ready.pairs:
                    hand.cells[hand.ref] = mark
                    return message
        elif signals and farms:
            # Behind the shared queue of which this thread had the last one.
            me = get_ident()
            try:
                hand = ready.hands[me]
            except KeyError:
                hand = None
            if (
                hand is not None
                and hand.took_all
                and hand.position is not None
                and monotonic() < hand.look_at
            ):
                record = ready.next_record(hand)
                if record is not None:
                    return record
    member = membership.peek()
    inbox = member.inbox if member is not None else None
    if inbox is None or member is None:
        raise _not_a_mule("mule_get_msg")
    if timeout is not None and timeout < 0:
        timeout = None
    if not carried:
        return inbox.receive(timeout, signals, farms, run_signal)
    return _past_calls(member, timeout, partial(inbox.get, signals=signals, farms=farms, dispatch=run_signal))


def _past_calls(
    member: Membership, timeout: float | None, receive: Callable[[float | None], bytes | None]
) -> bytes | None:
    """The first message that is none of @mulefunc's: their calls run here, as a hook would run them."""
    with importing:
        from ipcmules.process.mule import deliver

    deadline = None if timeout is None else time.monotonic() + timeout
    return deliver.past_calls(
        member, lambda: receive(None if deadline is None else max(0.0, deadline - time.monotonic()))
    )


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
    if not membership.carried:
        return inbox.get_farm(timeout, True, run_signal)
    return _past_calls(member, timeout, partial(inbox.get_farm, signals=True, dispatch=run_signal))


def _not_a_mule(call: str) -> NotAMule:
    member = membership.peek()
    what = "a process on no bus" if member is None else f"a process of role {member.role!r}"
    return NotAMule(f"{call}() works in a mule; this is {what}: have a mule receive, with --mule=PROGRAM")


def flush(timeout: float | None = None) -> bool:
    """Wait until the cluster has stored what this process has sent with farm_msg(..., wait=False).

    timeout: seconds, None for ever. Returns False when it is over. What the cluster has refused is a dead
    letter of this bus then. Whatever else a send has accepted is out of this process's hands: True at once.
    """
    if timeout is not None:
        checked_timeout(timeout)
    pipeline = sys.modules.get("ipcmules.cluster.pipeline")
    if pipeline is None or not pipeline.under_way():
        return True
    return bool(
        over_stops(
            lambda left: pipeline.flush(left, membership.current().post.check_alive),
            "what was sent with wait=False is not stored; flush",
            timeout,
        )
    )


def install_mule_msg_hook(hook: Callable[[bytes], Any]) -> None:
    """Have hook(message) called for each message that a signal-only mule receives.

    Hooks are called in the order in which they were installed. From uWSGI 2.1's function of that name.
    """
    if not callable(hook):
        raise TypeError(f"install_mule_msg_hook() takes a function, not {hook!r}")
    with importing:
        from ipcmules.process import hooks

    hooks.install(hook)
