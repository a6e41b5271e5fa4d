"""From the options that were given to a checked BusConfig: paths made absolute, files found.

Everything that can be wrong and be seen without starting a process is seen here.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from ipcmules.bus.config import BusConfig, Program, SignalEvent, SpoolDir, TouchAction
from ipcmules.bus.places import BUS_VARIABLE, check_name
from ipcmules.cli.options import Given
from ipcmules.errors import ConfigError
from ipcmules.kernel import commandline
from ipcmules.options.areas import AreaSpec
from ipcmules.options.caches import CacheItem, CacheSpec
from ipcmules.options.kinds import Kind


def build(given: Given, bus: str | None = None, command: tuple[str, ...] = ()) -> BusConfig:
    """The bus that was described.

    bus is what the command line says; it goes before IPCMULES_BUS, and that before what a file says, as
    in the other commands. Raises ConfigError for a directory, program, import or command that
    does not exist, and for everything BusConfig refuses.
    """
    directory = _directory(given.get("chdir", "."))
    name = bus if bus is not None else os.environ.get(BUS_VARIABLE) or given.get("bus", "default")
    config = BusConfig(
        name=check_name(name),
        directory=directory,
        command=command,
        options=tuple(given.raw),
        **_described(given, directory),
    )
    for each in command[:1]:
        commandline.check_program(each, directory, "'--'")
    for each in config.daemons:
        commandline.check(each, directory)
    for each in config.control_daemons:
        commandline.check(each, directory, "attach-control-daemon")
    for described in config.described_daemons:
        commandline.check(described.command, described.directory or directory, "attach-daemon2")
    return config


def _described(given: Given, directory: str) -> dict[str, Any]:
    """The fields of options for which something was given, with all that they name found."""
    imports = (*given.get("shared_imports", ()), *given.get("imports", ()), *given.get("applications", ()))
    found = {
        "imports": tuple(_found_import(each, directory) for each in imports),
        "mercy": given.get("mercy", given.get("other_mercy", BusConfig.mercy)),
        "paths": (
            *(os.path.join(directory, each) for each in given.get("paths", ())),
            *_site_packages(given, directory),
        ),
    }
    for each in fields(BusConfig):
        value = given.get(each.name, None)
        if value is not None and each.name not in found:
            kind: Kind | None = each.metadata.get("kind")
            find = _FINDERS.get(kind.name) if kind is not None else None
            found[each.name] = value if find is None else find(value, directory)
    return found


def _key_file(name: str, directory: str) -> str:
    from ipcmules.wire.signatures import read_key

    path = os.path.join(directory, name)
    try:
        read_key(path)
    except OSError as error:
        raise ConfigError(
            f"--socket-key-file {name}: {error.strerror}: create it, or correct the path"
        ) from error
    return path


def _metrics(addresses: tuple[str, ...], _directory: str) -> tuple[str, ...]:
    if addresses and importlib.util.find_spec("prometheus_client") is None:
        raise ConfigError(
            "--metrics needs the package prometheus_client, which is not installed: "
            "pip install 'ipcmules[metrics]'"
        )
    return addresses


def _cluster(servers: tuple[str, ...], _directory: str) -> tuple[str, ...]:
    if servers and importlib.util.find_spec("nats") is None:
        raise ConfigError(
            "--cluster needs the package nats-py, which is not installed: pip install 'ipcmules[cluster]'"
        )
    return servers


def _login_file(option: str) -> Callable[[str, str], str]:
    def find(name: str, directory: str) -> str:
        path = _file(name, directory, option)
        if not os.access(path, os.R_OK):
            raise ConfigError(f"{option} {name}: this user may not read it: chown or chmod it")
        return path

    return find


def _web(addresses: tuple[str, ...], _directory: str) -> tuple[str, ...]:
    if addresses:
        check_web("--web")
    return addresses


def check_web(what: str) -> None:
    """Raise ConfigError where the packages of the page are not installed. what: needs them."""
    for each in ("starlette", "uvicorn"):
        if importlib.util.find_spec(each) is None:
            raise ConfigError(
                f"{what} needs the package {each}, which is not installed: pip install 'ipcmules[web]'"
            )


def _token_file(name: str, directory: str) -> str:
    from ipcmules.web import tokens

    path = os.path.join(directory, name)
    tokens.read(path)
    return path


def _directory(path: str, option: str = "--chdir") -> str:
    full = os.path.abspath(path)
    if not os.path.isdir(full):
        raise ConfigError(f"{option}: directory {path!r} does not exist: create it, or correct the option")
    return full


def _site_packages(given: Given, directory: str) -> tuple[str, ...]:
    """What a virtual environment (uWSGI's home) adds to sys.path; nothing for the one that runs this."""
    home = given.get("home", "")
    full = os.path.join(directory, home)
    if not home or os.path.realpath(full) == os.path.realpath(sys.prefix):
        return ()
    found = os.path.join(full, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages")
    if not os.path.isdir(found):
        # Another Python cannot be had any more: this one runs already, and perhaps has all the app needs.
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        given.unused.append(f"home {home!r} (no virtual environment of Python {version}, which runs this)")
        return ()
    return (found,)


def _found_program(program: Program, directory: str) -> Program:
    if program.kind != "file":
        return program
    path = _file(program.target, directory, "mule program")
    return replace(program, target=path, label=program.label or program.target)


def _found_import(name: str, directory: str) -> str:
    # The rule is uWSGI's: a slash or .py makes it a file, anything else is a module.
    if "/" not in name and not name.endswith(".py"):
        return name
    path = os.path.normpath(_file(name, directory, "import"))
    if not path.endswith(".py"):
        raise ConfigError(f"import {name!r} does not end in .py, as a Python source file must: rename it")
    return path


def _file(name: str, directory: str, what: str) -> str:
    path = os.path.join(directory, name)
    if os.path.isfile(path):
        return path
    if os.path.isdir(path):
        raise ConfigError(f"{what} {name!r} is a directory: name the file in it")
    raise ConfigError(
        f"{what} {name!r} does not exist in {directory}: correct the path, or change directory with --chdir"
    )


def _found_event(event: SignalEvent, directory: str) -> SignalEvent:
    return replace(event, path=os.path.join(directory, event.path)) if event.path else event


def _found_action(action: TouchAction, directory: str) -> TouchAction:
    return replace(action, path=os.path.join(directory, action.path))


def _found_spool(spool: SpoolDir, directory: str) -> SpoolDir:
    # By their real paths they are compared.
    from ipcmules.spooler.directory import real

    return replace(spool, directory=real(os.path.join(directory, spool.directory)))


def _found_cache(spec: CacheSpec, directory: str) -> CacheSpec:
    return replace(spec, store=os.path.join(directory, spec.store)) if spec.store else spec


def _found_item(item: CacheItem, directory: str) -> CacheItem:
    return replace(item, file=os.path.join(directory, item.file)) if item.file else item


def _found_area(spec: AreaSpec, directory: str) -> AreaSpec:
    return replace(spec, file=os.path.join(directory, spec.file)) if spec.file else spec


def _each(find: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    return lambda values, directory: tuple(find(each, directory) for each in values)


#: What is found for a value, by the name of its kind: a path that was given is relative to the directory.
_FINDERS: dict[str, Callable[[Any, str], Any]] = {
    "mule": _each(_found_program),
    "modules": _each(_found_import),
    "files": _each(lambda path, directory: os.path.join(directory, path)),
    "signal timer": _each(_found_event),
    "touch command": _each(_found_action),
    "spooler": _each(_found_spool),
    "directory": lambda path, directory: _directory(os.path.join(directory, path), "--spooler-chdir"),
    "key file": _key_file,
    "metrics addresses": _metrics,
    "cluster servers": _cluster,
    "credentials file": _login_file("--cluster-credentials"),
    "cluster ca": _login_file("--cluster-ca"),
    "cluster certificate": _login_file("--cluster-cert"),
    "cluster key": _login_file("--cluster-key"),
    "web addresses": _web,
    "token file": _token_file,
    "cache": _each(_found_cache),
    **dict.fromkeys(("cache item", "cached file", "cached gzip"), _each(_found_item)),
    "area": _each(_found_area),
    "queue file": lambda path, directory: os.path.join(directory, path),
}
