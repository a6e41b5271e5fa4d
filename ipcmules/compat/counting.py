"""uwsgi.metric_*: uWSGI's calls of metrics, over the bus's counters.

What each takes and returns is uWSGI 2.0.31's (core/metrics.c): a name that is not declared is None, or 0.
Where the options ask for no metrics, they answer what uWSGI does without them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipcmules.api import counters
from ipcmules.compat import quiet, state
from ipcmules.counters.counter import divided
from ipcmules.counters.segment import Segment, wrapped
from ipcmules.errors import IpcMulesError

_LOST = "this bus has no metrics"


def _segment(name: str) -> Segment | None:
    """The counters; None where the options ask for no metrics."""
    config = state.config()
    if config is None or not (config.metrics or config.enable_metrics):
        quiet.say(name, _LOST)
        return None
    return counters.segment()


def metric_get(name: str, /) -> int:
    """A metric's number, 0 if there is none of that name."""
    quiet.check("metric_get", "s", (name,))
    found = _segment("metric_get")
    place = found.place(name, None) if found is not None else 0
    return found.value(place) if found is not None and place else 0


def _changing(name: str, calculate: Callable[[int, int, int], int | None]) -> Callable[..., bool | None]:
    """calculate: from the number, the argument and what the metric began with; None: nothing can be done."""

    def call(*arguments: Any) -> bool | None:
        quiet.check(name, "s|i", arguments)
        metric, value = arguments if len(arguments) == 2 else (arguments[0], 1)
        if not -(1 << 63) <= value < 1 << 63:
            raise OverflowError("Python int too large to convert to C long")
        found = _segment(name)
        place = found.place(metric, None) if found is not None else 0
        if found is None or not place or calculate(0, value, 0) is None:
            return None
        initial = found.initial(place)
        try:
            found.change(place, lambda there: wrapped(calculate(there, value, initial) or 0))
        except IpcMulesError:
            return None
        return True

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{name}(name, value=1): change a metric; True, or None if there is none of that name."
    return call


#: All of them, by name.
CALLS: dict[str, Callable[..., Any]] = {
    "metric_get": metric_get,
    "metric_inc": _changing("metric_inc", lambda there, value, _initial: there + value),
    "metric_dec": _changing("metric_dec", lambda there, value, _initial: there - value),
    "metric_mul": _changing("metric_mul", lambda there, value, _initial: there * value),
    "metric_div": _changing(
        "metric_div", lambda there, value, _initial: divided(there, value) if value else None
    ),
    "metric_set": _changing("metric_set", lambda _there, value, _initial: value),
    "metric_set_max": _changing("metric_set_max", lambda there, value, _initial: max(there, value)),
    # Only what is above the number that it began with, as there.
    "metric_set_min": _changing(
        "metric_set_min", lambda there, value, initial: min(there, value) if value > initial else there
    ),
}
