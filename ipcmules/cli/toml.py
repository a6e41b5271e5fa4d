"""Options from a TOML file: the same names, at the top or in a table [ipcmules], in TOML's own types.

Unlike an ini file, which may be meant for uWSGI too, a TOML file is only ours: an option that does not
exist is an error.

    mule = ["", "worker.py", "package.module:callable"]
    farm = {mail = [2, 3]}
    locks = 2
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from typing import Any

from ipcmules.cli.options import OPTIONS, Given
from ipcmules.errors import ConfigError
from ipcmules.options.option import Option

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_EXPECTED = {
    "text": "a string",
    "number": "a whole number",
    "seconds": "a number",
    "share": "a number",
    "flag": "true or false",
    "pair": 'a table of strings, such as {KEY = "VALUE"}',
}


def load(path: str, given: Given) -> None:
    """Add the file's options to given. Raises ConfigError, naming file, option and value."""
    data = _parsed(path)
    table = data.pop("ipcmules", {})
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: ipcmules = {table!r} is not a table: write [ipcmules] above the options")
    for key, value in (*data.items(), *table.items()):
        _take(path, key, value, given)


def _parsed(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"TOML file {path!r} cannot be read: {error.strerror}; correct --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}; correct it there") from error


def _take(path: str, key: str, value: Any, given: Given) -> None:
    option = OPTIONS.get(key)
    if option is None:
        close = difflib.get_close_matches(key, OPTIONS, 1)
        remedy = f"did you mean {close[0]!r}?" if close else "remove it ('ipcmules run --help' lists all)"
        raise ConfigError(f"{path}: there is no option {key!r}: {remedy}")
    origin = f"{path}, {key}"
    if key == "pyargv" and isinstance(value, list):
        # Here every element is one argument, spaces and all.
        given.replace("pyargv", tuple(_text(option, each, origin) for each in value))
        return
    name = "mule" if key == "mules" and isinstance(value, list) else key
    for text in _texts(name, OPTIONS[name], value, origin):
        given.add(name, text, origin)


def _texts(name: str, option: Option, value: Any, origin: str) -> Iterator[str]:
    """The texts that the command line would have for this value."""
    if isinstance(value, dict) and name == "farm":
        yield from (f"{farm}:{_numbers(mules, origin)}" for farm, mules in value.items())
    elif isinstance(value, dict) and option.kind.toml == "pair":
        yield from (f"{key}={_scalar(each, origin)}" for key, each in value.items())
    elif isinstance(value, list) and option.kind.many and option.kind.toml != "number":
        yield from (_text(option, each, origin) for each in value)
    else:
        yield _text(option, value, origin)


def _text(option: Option, value: Any, origin: str) -> str:
    # bool is an int in Python, and is not in TOML.
    whole = isinstance(value, int) and not isinstance(value, bool)
    fits = {
        "text": isinstance(value, str),
        "pair": isinstance(value, str),
        "number": whole,
        "seconds": whole or isinstance(value, float),
        "share": whole or isinstance(value, float),
        "flag": isinstance(value, bool),
    }[option.kind.toml]
    if fits:
        return str(value)
    more = ", or a list of them" if option.kind.many and option.kind.toml == "text" else ""
    raise ConfigError(f"{origin}: {value!r} is {_type_name(value)}: give {_EXPECTED[option.kind.toml]}{more}")


def _numbers(mules: Any, origin: str) -> str:
    if isinstance(mules, list) and mules and all(type(each) is int for each in mules):
        return ",".join(map(str, mules))
    raise ConfigError(
        f"{origin}: {mules!r} does not name a farm's mules: give a list of numbers, such as [1, 2]"
    )


def _scalar(value: Any, origin: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ConfigError(f"{origin}: {value!r} is {_type_name(value)}: give a string or a number")


def _type_name(value: Any) -> str:
    names = {bool: "true/false", int: "a whole number", float: "a fraction", str: "a string", list: "a list"}
    return names.get(type(value), "a table" if isinstance(value, dict) else "a date or time")
