"""uwsgi.snmp_*: numbers 1 to 100 that uWSGI tells by SNMP; here the counters snmp.1 to snmp.100 of the bus.

`ipcmules status` shows them, and `ipcmules.counter("snmp.1")` reads one. There is no SNMP server. As there,
the calls exist only with uWSGI's options snmp or snmp-community, and what each takes and returns is uWSGI
2.0.31's (plugins/python/uwsgi_pymodule.c).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipcmules.api import counters
from ipcmules.compat import quiet, widths
from ipcmules.counters.segment import wrapped

#: uWSGI's options that make the names appear.
OPTIONS = ("snmp",)
_LAST = 100


def _changing(name: str, code: str, calculate: Callable[[int, int], int]) -> Callable[..., bool | None]:
    """code: how the number is taken, behind | where it may be left out."""

    def call(*arguments: Any) -> bool | None:
        quiet.check(name, "i|i" if "|" in code else "ii", arguments)
        number = widths.checked("b", arguments[0])
        value = widths.checked(code[-1], arguments[1]) if len(arguments) == 2 else 1
        if not 1 <= number <= _LAST:
            return None
        found = counters.segment()
        found.change(found.place(f"snmp.{number}"), lambda there: wrapped(calculate(there, value)))
        return True

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{name}(number, value): True, None for a number that is not from 1 to {_LAST}."
    return call


def snmp_set_community(*arguments: Any) -> bool:
    """snmp_set_community(name): nobody asks for it here."""
    quiet.check("snmp_set_community", "s", arguments)
    quiet.say("snmp_set_community", "there is no SNMP server; `ipcmules status --json` has the numbers")
    return True


#: All of them, by name.
CALLS: dict[str, Callable[..., Any]] = {"snmp_set_community": snmp_set_community}
for _kind in ("counter32", "counter64", "gauge"):
    for _how, _code, _calculate in (
        ("set", "K" if _kind == "counter64" else "I", lambda _there, value: value),
        ("incr", "|I", lambda there, value: there + value),
        ("decr", "|I", lambda there, value: there - value),
    ):
        _name = f"snmp_{_how}_{_kind}"
        CALLS[_name] = _changing(_name, _code, _calculate)
