"""uwsgi.opt: the options of the bus as uWSGI shows its own, from the bus's description.

str keys, bytes values, True for an option without a value, a list where an option is repeated (which 2.0.31
on Python 3 gets wrong: it keeps the last; its documentation, 2.1 and code in the wild know the list).
Unknown options are there too: apps read their own from it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from ipcmules.bus.config import BusConfig, Farm, Program, SpoolDir
from ipcmules.compat.references import DEFINING
from ipcmules.options.option import SAME, Option

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
    for field in fields(config):
        options: tuple[Option, ...] = field.metadata.get("options", ())
        value = getattr(config, field.name)
        # What Bus() has no argument for stands among the given ones, if it was given at all.
        if not options or options[0].argument == "" or options[0].uwsgi != SAME or value == field.default:
            continue
        # Decorators of uWSGI ask for 'spooler', whatever the directories were given by.
        if options[0].name == "spooler" or not given & {name for each in options for name in each.names}:
            found[options[0].name] = [*_texts(value)]
    return {name: texts for name, texts in found.items() if texts}


def _texts(value: object) -> Iterator[str | None]:
    """A value as the options of uWSGI have it; nothing for what they write in a form of their own."""
    if value is True:
        yield None
    elif isinstance(value, (int, float)):
        yield f"{value:g}"
    elif isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for each in value:
            yield from _item(each)


def _item(each: object) -> Iterator[str | None]:
    if isinstance(each, Program):
        yield each.target if each.kind in ("file", "callable") else None
    elif isinstance(each, Farm):
        yield f"{each.name}:{','.join(map(str, each.mules))}"
    elif isinstance(each, SpoolDir):
        yield each.directory
    elif isinstance(each, tuple):
        yield "=".join(each)
    elif isinstance(each, str):
        yield each


def processes(found: dict[str, Value], config: BusConfig) -> int:
    """uwsgi.numproc: what processes (or workers, p) says last, else the workers of the bus; at least 1."""
    for name in ("processes", "workers", "p"):
        value = found.get(name)
        last = value[-1] if isinstance(value, list) else value
        if isinstance(last, bytes) and last.isdigit() and int(last):
            return int(last)
    return max(config.processes, 1)
