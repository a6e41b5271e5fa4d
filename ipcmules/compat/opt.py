"""uwsgi.opt: the options of the bus as uWSGI shows its own, from the bus's description.

str keys, bytes values, True for an option without a value, a list where an option is repeated (which 2.0.31
on Python 3 gets wrong: it keeps the last; its documentation, 2.1 and code in the wild know the list).
Unknown options are there too: apps read their own from it.
"""

from __future__ import annotations

import os
from typing import Any

from ipcmules.compat.references import DEFINING
from ipcmules.config import BusConfig

Value = Any  # bytes, True, or a list of them


def options(config: BusConfig) -> dict[str, Value]:
    """The options of a bus."""
    found: dict[str, Value] = {}
    for key, value in config.options:
        _add(found, key, value)
        if key in DEFINING and value is not None and "=" in value:
            name, _, text = value.partition("=")
            _add(found, name.strip(), text)
    for key, values in _described(config).items():
        if key not in found:
            for each in values:
                _add(found, key, each)
    for name, text in config.settings:
        found.setdefault(name, os.fsencode(text))
    return found


def _add(found: dict[str, Value], key: str, value: str | None) -> None:
    item = True if value is None else os.fsencode(value)
    if key not in found:
        found[key] = item
    elif isinstance(found[key], list):
        found[key].append(item)
    else:
        found[key] = [found[key], item]


def _described(config: BusConfig) -> dict[str, list[str | None]]:
    """What a bus has however it was described (Bus(...), TOML): code tests `'mule' in uwsgi.opt`."""
    given = {key for key, _ in config.options}
    found: dict[str, list[str | None]] = {"master": [None], "enable-threads": [None]}
    if config.mules and not given & {"mule", "mules"}:
        found["mule"] = [each.target if each.kind in ("file", "callable") else None for each in config.mules]
    if config.farms:
        found["farm"] = [f"{each.name}:{','.join(map(str, each.mules))}" for each in config.farms]
    if config.locks:
        found["locks"] = [str(config.locks)]
    if config.settings:
        found["set"] = [f"{key}={value}" for key, value in config.settings]
    if config.spoolers:
        found["spooler"] = [each.directory for each in config.spoolers]
    return found


def processes(found: dict[str, Value], config: BusConfig) -> int:
    """uwsgi.numproc: what processes (or workers, p) says last, else the workers of the bus; at least 1."""
    for name in ("processes", "workers", "p"):
        value = found.get(name)
        last = value[-1] if isinstance(value, list) else value
        if isinstance(last, bytes) and last.isdigit() and int(last):
            return int(last)
    return max(config.processes, 1)
