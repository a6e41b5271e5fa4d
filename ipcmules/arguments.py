"""What Bus() is given, made into the values of a BusConfig; ConfigError names what cannot be.

Knows config, the readers of crons and command lines, and how functions travel; starts and opens nothing.
"""

from __future__ import annotations

import base64
import io
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

from ipcmules.config import CronCommand, Farm, Program, SpoolDir, program
from ipcmules.errors import ConfigError
from ipcmules.master import commandline

Value = TypeVar("Value")

#: What one mule can be: None or "" (signal-only), "path.py", "package.module:callable", or a callable.
MuleSpec = None | str | Callable[[], Any]


def farms(given: Mapping[str, Iterable[int]] | None) -> tuple[Farm, ...]:
    """Farms, each by its name and the numbers of its mules."""
    return tuple(_farm(name, numbers) for name, numbers in _pairs("farms", given, "{'name': [1, 2]}"))


def settings(given: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    """Values for the app, as texts."""
    return tuple((str(key), str(value)) for key, value in _pairs("settings", given, "{'key': 'value'}"))


def _pairs(what: str, given: Mapping[str, Value] | None, example: str) -> Iterable[tuple[str, Value]]:
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise ConfigError(f"{what}={given!r}: give a dict, for example {example}")
    return given.items()


def _farm(name: str, numbers: Iterable[int]) -> Farm:
    try:
        return Farm(name, tuple(numbers))
    except TypeError:
        raise ConfigError(
            f"farms={{{name!r}: {numbers!r}}}: give the numbers of its mules as a list, for example [1, 2]"
        ) from None


def texts(
    what: str, given: Sequence[str | os.PathLike[str]], example: str, of: str = "strings"
) -> tuple[str, ...]:
    """A list of strings or paths. what: the argument's name; example: what one of them, `of`, may be."""
    if isinstance(given, (str, bytes, os.PathLike)):
        raise ConfigError(f"{what}={given!r}: give a list of {of}, for example [{given!r}]")
    try:
        return tuple(os.fsdecode(each) for each in given)
    except TypeError:
        raise ConfigError(f"{what}={given!r}: give a list of {of}, for example [{example!r}]") from None


def paths(what: str, given: Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    """A list of files or directories, as absolute paths."""
    return tuple(map(os.path.abspath, texts(what, given, "app.py")))


def daemons(given: Sequence[str]) -> tuple[str, ...]:
    """Command lines that can be run."""
    commands = texts("daemons", given, "redis-server --port 7000")
    for each in commands:
        commandline.check(each, os.getcwd())
    return commands


def crons(given: Sequence[str | CronCommand]) -> tuple[CronCommand, ...]:
    """Commands of crons, from texts as --cron has them or as they are."""
    if not given:
        return ()
    from ipcmules.events.texts import checked_cron, cron

    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ConfigError(f"crons={given!r}: give a list of them, for example ['0 3 * * * backup']")
    return tuple(cron(each) if isinstance(each, str) else checked_cron(each) for each in given)


def spools(
    here: Sequence[str | os.PathLike[str]], external: Sequence[str | os.PathLike[str]]
) -> tuple[SpoolDir, ...]:
    """Spool directories, by their real paths: those whose tasks run here, then the others."""
    ours = texts("spoolers", here, "tasks", "directories")
    others = texts("spoolers_external", external, "tasks", "directories")
    return (
        *(SpoolDir(os.path.realpath(each)) for each in ours),
        *(SpoolDir(os.path.realpath(each), True) for each in others),
    )


def mules(given: int | Sequence[MuleSpec]) -> tuple[Program, ...]:
    """The program of each mule."""
    if isinstance(given, (bool, str)) or not isinstance(given, (int, Iterable)):
        raise ConfigError(f"mules={given!r}: give a number of mules, or a list with one entry a mule")
    if isinstance(given, int):
        if given < 0:
            raise ConfigError(f"mules={given!r}: give 0 or more")
        return (Program(),) * given
    return tuple(_program(each) for each in given)


def _program(spec: MuleSpec) -> Program:
    if spec is None:
        return Program()
    if isinstance(spec, (str, os.PathLike)):
        found = program(os.fspath(spec))
        if found.kind == "file":
            path = os.path.abspath(found.target)
            if not os.path.isfile(path):
                raise ConfigError(
                    f"mule program {spec!r} does not exist (looked for {path}): correct the path"
                )
            return Program("file", path)
        return found
    if not callable(spec):
        raise ConfigError(f"mule {spec!r} is neither None, a path, 'package.module:callable' nor a callable")
    try:
        data = _pickled(spec)
    except Exception as error:
        raise ConfigError(
            f"mule {spec!r} cannot be carried into its process: {error}; pass what it needs by value, "
            "or give 'package.module:callable'"
        ) from error
    label = getattr(spec, "__qualname__", None) or repr(spec)
    return Program("pickled", base64.b64encode(data).decode(), label)


def _pickled(function: Callable[[], Any]) -> bytes:
    """A function as multiprocess would carry it, for programs.load()."""
    import dill
    from multiprocess.reduction import ForkingPickler

    class Carrier(ForkingPickler):  # type: ignore[misc] # multiprocess has no types
        """Modules travel by name: dill would carry those outside site-packages with all they hold."""

        def reducer_override(self, thing: object) -> Any:
            if isinstance(thing, ModuleType):
                return import_module, (thing.__name__,)
            return NotImplemented

    main = sys.modules["__main__"]
    importable = getattr(main, "__spec__", None) is not None or hasattr(main, "__file__")
    buffer = io.BytesIO()
    # Where the mule cannot import the main module again (python -c, a prompt, a notebook), what the function
    # uses of it travels along.
    Carrier(buffer, dill.settings["protocol"], recurse=not importable).dump(function)
    return buffer.getvalue()
