"""The texts of --metric, and what they describe."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ipcmules.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9._-]{1,112}\Z")
_TYPES = ("counter", "gauge", "absolute")
#: What uWSGI fills in by itself, or takes from elsewhere.
COLLECTED = frozenset({"collector", "alias", "children"})
_KNOWN = ("name", "type", "initial_value")
#: What has no meaning here.
_IGNORED = frozenset({"oid", "freq", "arg1", "arg2", "arg3", "arg1n", "arg2n", "arg3n", "reset_after_push"})


@dataclass(frozen=True)
class MetricSpec:
    """A counter that is there from the start, and the number it begins with. It travels as JSON."""

    name: str
    initial: int = 0

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise ConfigError(
                f"metric name {self.name!r} is not allowed: use 1 to 112 letters, digits, '.', '-' or '_'"
            )
        if type(self.initial) is not int or not -(1 << 63) <= self.initial < 1 << 63:
            raise ConfigError(f"initial_value={self.initial!r}: give a whole number of 64 bits")


def metric(text: str) -> MetricSpec:
    """A MetricSpec from --metric's value: 'hits', or 'name=hits,initial_value=5'."""
    if "=" not in text:
        return MetricSpec(text.strip())
    values: dict[str, str] = {}
    for each in filter(None, text.split(",")):
        key, equals, value = (part.strip() for part in each.partition("="))
        if not equals:
            raise ConfigError(f"{each!r} in {text!r} is not KEY=VALUE: write it so, such as name=hits")
        if key in COLLECTED or (key == "type" and value not in _TYPES):
            raise ConfigError(f"{each!r} in {text!r}: nobody fills in a metric here but the application")
        if key not in _KNOWN and key not in _IGNORED:
            raise ConfigError(f"{key!r} in {text!r} is not known: a metric has {', '.join(_KNOWN)}")
        values[key] = value
    if "name" not in values:
        raise ConfigError(f"{text!r} does not say name: add name=hits")
    initial = values.get("initial_value", "0")
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", initial):
        raise ConfigError(f"initial_value={initial} in {text!r} is no whole number: give one")
    return MetricSpec(values["name"], int(initial))
