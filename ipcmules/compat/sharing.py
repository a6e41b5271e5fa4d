"""uwsgi.sharedarea_*: uWSGI's calls of its shared areas, over the bus's. Only where one is asked for.

What each takes, returns and raises is uWSGI 2.0.31's (plugins/python/uwsgi_pymodule.c, core/sharedarea.c),
but where that leaves the area: a number whose bytes go beyond the end, a negative one of an area.
"""

from __future__ import annotations

import fcntl
import mmap
from collections.abc import Callable
from functools import partial
from typing import Any

from ipcmules.areas import area
from ipcmules.areas.area import Area
from ipcmules.compat import quiet, state, widths
from ipcmules.errors import AreaError
from ipcmules.member import membership

_opened: list[Area] = []


def _area(number: int) -> Area:
    member = membership.find() or membership.current()  # joins the next bus where this one has ended
    if not _opened:
        _opened.extend(area.opened(member.where, member.description.config.areas))
    if not 0 <= widths.checked("i", number) < len(_opened):
        raise AreaError(f"there is no shared area {number}: this bus has {len(_opened)}; add --sharedarea")
    return _opened[number]


def sharedarea_read(*arguments: Any) -> bytes:
    """sharedarea_read(area, position, length=0): so many bytes, 0 for all that follow."""
    quiet.check("sharedarea_read", "ii|i", arguments)
    numbers = [widths.checked("l", each) for each in arguments[1:]]
    return _area(arguments[0]).read(*numbers)


def sharedarea_write(*arguments: Any) -> None:
    """sharedarea_write(area, position, data)."""
    quiet.check("sharedarea_write", "iib", arguments)
    number, position, data = arguments
    _area(number).write(position, data.encode() if isinstance(data, str) else data)


def _read(bits: int, name: str, *arguments: Any) -> int:
    quiet.check(name, "ii", arguments)
    return _area(arguments[0]).number_at(widths.checked("l", arguments[1]), bits)


#: The code by which the value of a write is taken.
_WRITTEN = {8: "b", 16: "I", 32: "I", 64: "l"}


def _write(bits: int, name: str, *arguments: Any) -> None:
    quiet.check(name, "iii", arguments)
    number, position, value = arguments
    value = widths.checked(_WRITTEN[bits], value) & (1 << bits) - 1
    _area(number).write(widths.checked("l", position), value.to_bytes(bits // 8, "little"))


def _add(bits: int, sign: int, name: str, *arguments: Any) -> None:
    quiet.check(name, "ii|i", arguments)
    amount = widths.checked("l" if bits == 64 else "i", arguments[2]) if len(arguments) == 3 else 1
    _area(arguments[0]).add(widths.checked("l", arguments[1]), bits, sign * amount)


def sharedarea_rlock(*arguments: Any) -> None:
    """sharedarea_rlock(area): nobody writes until it is unlocked, or this process ends."""
    quiet.check("sharedarea_rlock", "i", arguments)
    _area(arguments[0]).lock(fcntl.LOCK_SH)


def sharedarea_wlock(*arguments: Any) -> None:
    """sharedarea_wlock(area): nobody else reads or writes until it is unlocked, or this process ends."""
    quiet.check("sharedarea_wlock", "i", arguments)
    _area(arguments[0]).lock(fcntl.LOCK_EX)


def sharedarea_unlock(*arguments: Any) -> None:
    """sharedarea_unlock(area): a lock that this thread does not have stays as it is."""
    quiet.check("sharedarea_unlock", "i", arguments)
    _area(arguments[0]).unlock()


def sharedarea_memoryview(*arguments: Any) -> memoryview:
    """sharedarea_memoryview(area): its bytes, to read and write without a lock."""
    quiet.check("sharedarea_memoryview", "i", arguments)
    return _area(arguments[0]).view()


def sharedarea_object(*arguments: Any) -> mmap.mmap:
    """sharedarea_object(area): the object of an area of --py-sharedarea; there a bytearray, which is each
    process's own."""
    quiet.check("sharedarea_object", "i", arguments)
    found, config = _area(arguments[0]), state.config()
    assert config is not None
    if not area.ordered(config.areas)[found.number].python:
        raise AreaError(f"shared area {found.number} has no object: use sharedarea_memoryview()")
    return found.map


def _named(name: str, bits: int, function: Callable[..., Any], says: str) -> Callable[..., Any]:
    found = partial(function, name)

    def call(*arguments: Any) -> Any:
        return found(*arguments)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{name}{says} {bits} bits."
    return call


def _numbers() -> dict[str, Callable[..., Any]]:
    made: dict[str, Callable[..., Any]] = {}
    for word, bits in (("byte", 8), ("8", 8), ("16", 16), ("32", 32), ("long", 64), ("64", 64)):
        for how, function, says in (
            ("read", _read, "(area, position): the signed number there, of"),
            ("write", _write, "(area, position, number): of"),
        ):
            name = f"sharedarea_{how}{word}"
            made[name] = _named(name, bits, partial(function, bits), says)
    for how, sign in (("inc", 1), ("dec", -1)):
        for word, bits in (("long", 64), ("64", 64), ("32", 32)):
            name = f"sharedarea_{how}{word}"
            if name != "sharedarea_declong":  # uWSGI has none
                made[name] = _named(
                    name, bits, partial(_add, bits, sign), "(area, position, number=1): in one step, of"
                )
    return made


#: All of them, by name.
CALLS: dict[str, Callable[..., Any]] = {
    **_numbers(),
    **{
        each.__name__: each
        for each in (
            *(sharedarea_read, sharedarea_write, sharedarea_rlock, sharedarea_wlock, sharedarea_unlock),
            *(sharedarea_memoryview, sharedarea_object),
        )
    },
}


def there() -> bool:
    """True where the bus has one."""
    config = state.config()
    return config is not None and bool(config.areas)


membership.on_join.append(lambda _member: _opened.clear())
