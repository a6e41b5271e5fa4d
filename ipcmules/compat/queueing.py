"""uwsgi.queue_*: uWSGI's calls of its queue, over the bus's ring. As there, only with --queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipcmules.compat import quiet, state
from ipcmules.member import membership
from ipcmules.rings import ring
from ipcmules.rings.ring import Ring

_opened: dict[str, Ring] = {}


def _ring() -> Ring:
    member = membership.find() or membership.current()  # joins the next bus where this one has ended
    found = _opened.get("")
    if found is None:
        config = member.description.config
        found = Ring(ring.path_of(member.where, config), config.queue, config.queue_blocksize)
        _opened[""] = found
    return found


def queue_get(*arguments: Any) -> bytes | None:
    """queue_get(slot): what is in it, None for nothing."""
    quiet.check("queue_get", "i", arguments)
    return _ring().get(*arguments)


def queue_set(*arguments: Any) -> bool | None:
    """queue_set(slot, message): True, None for a slot that is not there and what does not fit."""
    quiet.check("queue_set", "ib", arguments)
    return _ring().set(arguments[0], _bytes(arguments[1])) or None


def queue_push(*arguments: Any) -> bool | None:
    """queue_push(message): into the next slot; True, None for what does not fit."""
    quiet.check("queue_push", "b", arguments)
    return _ring().push(_bytes(arguments[0])) or None


def queue_pull(*_arguments: Any) -> bytes | None:
    """The oldest message, None for none."""
    return _ring().pull()


def queue_pop(*_arguments: Any) -> bytes | None:
    """The newest message, None for none."""
    return _ring().pop()


def queue_last(*arguments: Any) -> bytes | list[bytes | None] | None:
    """queue_last(count=0): a list of the newest; 0: the newest itself."""
    quiet.check("queue_last", "|i", arguments)
    count = int(arguments[0]) if arguments else 0
    return _ring().last(count) if count > 0 else _ring().last(1)[0]


def queue_slot(*_arguments: Any) -> int:
    """The slot of the next push."""
    return _ring().position


def queue_pull_slot(*_arguments: Any) -> int:
    """The slot of the next pull."""
    return _ring().pull_position


#: All of them, by name.
CALLS: dict[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (
        *(queue_get, queue_set, queue_push, queue_pull, queue_pop, queue_last),
        *(queue_slot, queue_pull_slot),
    )
}


def size() -> int:
    """uwsgi.queue_size; 0 where there is none."""
    config = state.config()
    return config.queue if config is not None else 0


def _bytes(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else value


membership.on_join.append(lambda _member: _opened.clear())
