"""From the options that were given to a checked BusConfig: paths made absolute, files found.

Everything that can be wrong and be seen without starting a process is seen here.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import Any

from ipcmules.cli.options import Given
from ipcmules.config import BusConfig, Program
from ipcmules.errors import ConfigError
from ipcmules.master import commandline
from ipcmules.places import BUS_VARIABLE, check_name


def build(given: Given, bus: str | None = None, command: tuple[str, ...] = ()) -> BusConfig:
    """The bus that was described.

    bus is what the command line says; it goes before IPCMULES_BUS, and that before what a file says, as
    in the other commands. Raises ConfigError for a directory, program, import or command that
    does not exist, and for everything BusConfig refuses.
    """
    directory = _directory(given.get("chdir", "."))
    name = bus if bus is not None else os.environ.get(BUS_VARIABLE) or given.get("bus", "default")
    imports = (*given.get("shared_imports", ()), *given.get("imports", ()), *given.get("applications", ()))
    config = BusConfig(
        name=check_name(name),
        mules=tuple(_found_program(each, directory) for each in given.get("mules", ())),
        farms=given.get("farms", ()),
        processes=given.get("processes", 0),
        imports=tuple(_found_import(each, directory) for each in imports),
        lazy_apps=given.get("lazy_apps", False),
        locks=given.get("locks", 0),
        settings=given.get("settings", ()),
        pyargv=given.get("pyargv", ()),
        mercy=given.get("mercy", given.get("other_mercy", BusConfig.mercy)),
        harakiri=given.get("harakiri", BusConfig.harakiri),
        handler_harakiri=given.get("handler_harakiri", BusConfig.handler_harakiri),
        max_messages=given.get("max_messages", BusConfig.max_messages),
        touch_reload=tuple(os.path.join(directory, each) for each in given.get("touch_reload", ())),
        crons=given.get("crons", ()),
        cron_harakiri=given.get("cron_harakiri", BusConfig.cron_harakiri),
        signal_events=tuple(
            replace(each, path=os.path.join(directory, each.path)) if each.path else each
            for each in given.get("signal_events", ())
        ),
        queue_share=given.get("queue_share", BusConfig.queue_share),
        directory=directory,
        paths=(
            *(os.path.join(directory, each) for each in given.get("paths", ())),
            *_site_packages(given, directory),
        ),
        command=command,
        daemons=given.get("daemons", ()),
        on_mule_death=given.get("on_mule_death", BusConfig.on_mule_death),
        max_requeues=given.get("max_requeues", BusConfig.max_requeues),
        on_hook_error=given.get("on_hook_error", BusConfig.on_hook_error),
        **_spooling(given, directory),
        compat=given.get("compat", False),
        mule_hooks=given.get("mule_hooks", ()),
        alarms=given.get("alarms", ()),
        sockets=given.get("sockets", ()),
        socket_allow=given.get("socket_allow", ()),
        socket_key_file=_key_file(given.get("socket_key_file", ""), directory),
        options=tuple(given.raw),
    )
    for name in command[:1]:
        commandline.check_program(name, directory, "'--'")
    for each in config.daemons:
        commandline.check(each, directory)
    return config


#: Options of spoolers that need nothing found: fields of BusConfig.
_SPOOLER_FIELDS = (
    "spooler_processes",
    "spooler_frequency",
    "spooler_ordered",
    "spooler_quiet",
    "spooler_max_tasks",
    "spooler_signal_as_task",
    "spooler_harakiri",
    "spooler_cheap",
    "spooler_nice",
    "spooler_fsync",
    "spooler_max_attempts",
)


def _spooling(given: Given, directory: str) -> dict[str, Any]:
    """The fields of spoolers: directories as real paths, by which they are compared."""
    values = {name: given.get(name, getattr(BusConfig, name)) for name in _SPOOLER_FIELDS}
    chdir = given.get("spooler_chdir", "")
    return {
        **values,
        "spoolers": tuple(
            replace(each, directory=os.path.realpath(os.path.join(directory, each.directory)))
            for each in given.get("spoolers", ())
        ),
        "spooler_chdir": _directory(os.path.join(directory, chdir), "--spooler-chdir") if chdir else "",
        "spooler_imports": tuple(_found_import(each, directory) for each in given.get("spooler_imports", ())),
        "touch_spoolers_reload": tuple(
            os.path.join(directory, each) for each in given.get("touch_spoolers_reload", ())
        ),
    }


def _key_file(name: str, directory: str) -> str:
    if not name:
        return ""
    from ipcmules.signatures import read_key

    path = os.path.join(directory, name)
    try:
        read_key(path)
    except OSError as error:
        raise ConfigError(
            f"--socket-key-file {name}: {error.strerror}: create it, or correct the path"
        ) from error
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
