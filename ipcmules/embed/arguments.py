"""What Bus() is given, made into the values of a BusConfig; ConfigError names what cannot be.

Knows config, the readers of crons and command lines, and how functions travel; starts and opens nothing.
"""

from __future__ import annotations

import base64
import io
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

from ipcmules.bus.config import CronCommand, Farm, Program, SpoolDir, program
from ipcmules.bus.places import check_name
from ipcmules.errors import ConfigError
from ipcmules.kernel import commandline
from ipcmules.options.caches import CacheSpec
from ipcmules.options.metrics import MetricSpec
from ipcmules.options.option import Option
from ipcmules.options.table import TABLE
from ipcmules.options.values import cluster_servers, spool_dir

Value = TypeVar("Value")

#: What one mule can be: None or "" (signal-only), "path.py", "package.module:callable", or a callable.
MuleSpec = None | str | Callable[[], Any]


def described(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a BusConfig for the arguments of a Bus, by their names. Raises ConfigError."""
    found: dict[str, Any] = {}
    for option in ARGUMENTS:
        name = argument(option)
        make = _MAKERS.get(option.kind.name)
        value = given[name] if make is None else make(option, name, given[name])
        if option.kind.many and option.field in found:
            value = (*found[option.field], *value)
        found[option.field] = value
    return found


def argument(option: Option) -> str:
    """What an option is called as an argument of Bus(); '' where it is none."""
    return option.field if option.argument is None else option.argument


#: The options that Bus() takes, in its order.
ARGUMENTS = tuple(each for each in TABLE if argument(each))


def farms(given: Mapping[str, Iterable[int]] | None, what: str = "farms") -> tuple[Farm, ...]:
    """Farms, each by its name and the numbers of its mules. what: the argument's name."""
    return tuple(_farm(what, name, numbers) for name, numbers in _pairs(what, given, "{'name': [1, 2]}"))


def settings(given: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    """Values for the app, as texts."""
    return tuple((str(key), str(value)) for key, value in _pairs("settings", given, "{'key': 'value'}"))


def _pairs(what: str, given: Mapping[str, Value] | None, example: str) -> Iterable[tuple[str, Value]]:
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise ConfigError(f"{what}={given!r}: give a dict, for example {example}")
    return given.items()


def _farm(what: str, name: str, numbers: Iterable[int]) -> Farm:
    try:
        return Farm(name, tuple(numbers))
    except TypeError:
        raise ConfigError(
            f"{what}={{{name!r}: {numbers!r}}}: give the numbers of its mules as a list, for example [1, 2]"
        ) from None


def texts(what: str, given: Sequence[str | os.PathLike[str]], example: str, of: str) -> tuple[str, ...]:
    """A list of strings or paths. what: the argument's name; example: what one of them, `of`, may be."""
    if isinstance(given, (str, bytes, os.PathLike)):
        raise ConfigError(f"{what}={given!r}: give a list of {of}, for example [{given!r}]")
    try:
        return tuple(os.fsdecode(each) for each in given)
    except TypeError:
        raise ConfigError(f"{what}={given!r}: give a list of {of}, for example [{example!r}]") from None


def daemons(commands: tuple[str, ...]) -> tuple[str, ...]:
    """Command lines that can be run."""
    for each in commands:
        commandline.check(each, os.getcwd(), "daemons")
    return commands


def crons(given: Sequence[str | CronCommand]) -> tuple[CronCommand, ...]:
    """Commands of crons, from texts as --cron has them or as they are."""
    if not given:
        return ()
    from ipcmules.events.texts import checked_cron, cron

    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ConfigError(f"crons={given!r}: give a list of them, for example ['0 3 * * * backup']")
    return tuple(cron(each) if isinstance(each, str) else checked_cron(each) for each in given)


def caches(given: tuple[str, ...]) -> tuple[CacheSpec, ...]:
    """Caches, each as --cache has it."""
    from ipcmules.options.caches import cache

    return tuple(
        replace(each, store=os.path.abspath(each.store)) if each.store else each for each in map(cache, given)
    )


def metrics(given: tuple[str, ...]) -> tuple[MetricSpec, ...]:
    """Counters, each as --metric has it."""
    from ipcmules.options.metrics import metric

    return tuple(map(metric, given))


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

    buffer = io.BytesIO()
    # Where the mule cannot import the main module again, what the function uses of it travels along.
    Carrier(buffer, dill.settings["protocol"], recurse=not main_can_be_loaded()).dump(function)
    return buffer.getvalue()


def main_can_be_loaded() -> bool:
    """True if other processes can import this program's main module, as multiprocessing does.

    Not where there is none (python -c, a prompt, a notebook), where it came from standard input, whose
    __file__ is '<stdin>', and where it is called __main__ alone (a zip file, a directory, python -m package).
    """
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name).rpartition(".")[2] != "__main__"
    return os.path.isfile(getattr(main, "__file__", None) or "")


def cluster(given: str | Sequence[str]) -> tuple[str, ...]:
    """URLs of the cluster's servers, in one text or several."""
    if not given:
        return ()
    from importlib.util import find_spec

    if find_spec("nats") is None:
        raise ConfigError(
            "cluster= needs the package nats-py, which is not installed: pip install 'ipcmules[cluster]'"
        )
    several = (given,) if isinstance(given, str) else texts("cluster", given, "nats://10.0.0.5:4222", "URLs")
    return tuple(url for each in several for url in cluster_servers(each))


def cluster_mules(given: Any) -> tuple[int, ...]:
    """Numbers of mules."""
    try:
        found = tuple(given)
    except TypeError:
        found = ()
    if isinstance(given, str) or not all(type(each) is int for each in found) or (given and not found):
        raise ConfigError(f"cluster_mules={given!r}: give the numbers of mules as a list, for example [1, 2]")
    return found


def _login_file(_option: Option, name: str, given: Any) -> str:
    path = os.path.abspath(given) if given else ""
    if path and not os.access(path, os.R_OK):
        raise ConfigError(f"{name}={given!r}: {path} is not there, or this user may not read it")
    return path


def _cluster_name(_option: Option, _name: str, given: Any) -> str:
    return check_name(given, "cluster or host") if given else ""


def _texts(option: Option, name: str, given: Any) -> tuple[str, ...]:
    of = "directories" if option.kind.complete == "dir" else "strings"
    return texts(name, given, option.kind.example, of)


def _paths(option: Option, name: str, given: Any) -> tuple[str, ...]:
    return tuple(map(os.path.abspath, _texts(option, name, given)))


def _spools(option: Option, name: str, given: Any) -> tuple[SpoolDir, ...]:
    from ipcmules.spooler.directory import real

    external = option.kind.name == "external spooler"
    found = (spool_dir(each, external) for each in _texts(option, name, given))
    return tuple(replace(each, directory=real(os.path.abspath(each.directory))) for each in found)


#: How the value of an argument is made, by the name of its kind; others are taken as they are, and checked.
_MAKERS: dict[str, Callable[[Option, str, Any], Any]] = {
    "mule": lambda _option, _name, given: mules(given),
    "farms": lambda _option, _name, given: farms(given),
    "pairs": lambda _option, _name, given: settings(given),
    "modules": _texts,
    "arguments": _texts,
    "files": _paths,
    "daemons": lambda option, name, given: daemons(_texts(option, name, given)),
    "metric": lambda option, name, given: metrics(_texts(option, name, given)),
    "cache": lambda option, name, given: caches(_texts(option, name, given)),
    "cron": lambda _option, _name, given: crons(given),
    "cluster servers": lambda _option, _name, given: cluster(given),
    "cluster name": _cluster_name,
    "cluster farms": lambda _option, name, given: farms(given, name),
    "cluster mules": lambda _option, _name, given: cluster_mules(given),
    **dict.fromkeys(("credentials file", "cluster ca", "cluster certificate", "cluster key"), _login_file),
    "spooler": _spools,
    "external spooler": _spools,
    "directory": lambda _option, _name, given: os.path.abspath(given) if given else "",
}
