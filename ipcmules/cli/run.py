"""`ipcmules run`: describe a bus, be its master, and say when it is ready."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from ipcmules.bus import log
from ipcmules.bus.config import BusConfig
from ipcmules.bus.places import Places
from ipcmules.cli import hooks, user
from ipcmules.cli.assembly import build
from ipcmules.cli.options import Given
from ipcmules.cli.parameters import BusOption, help_in_groups, parameters
from ipcmules.errors import ConfigError, IpcMulesError
from ipcmules.kernel import commandline, lines
from ipcmules.kernel.pidfile import PidFile
from ipcmules.kernel.printable import for_people

#: Where parsing leaves what click has no place for: the order of --mule and --mules, and the command.
_ORDER, _COMMAND = "ipcmules.order", "ipcmules.command"


class DescribesBus(click.Command):
    """Splits off '-- COMMAND', and reads --mule as uWSGI's getopt does: its value only after '='.

    click would take the next word for the optional value, whatever it is meant for.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the command behind --, and the order in which options stand; the rest is for click."""
        if ctx.resilient_parsing:  # a shell completes what is not finished yet
            return super().parse_args(ctx, args)
        own, command = _split(args)
        rewritten, order = _read(own, self._with_value(), frozenset(self._names()))
        ctx.meta[_COMMAND], ctx.meta[_ORDER] = tuple(command), order
        return super().parse_args(ctx, rewritten)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See click.Command."""
        formatter.write(f"\n{help_in_groups(self.get_params(ctx), ctx)}\n")

    def _names(self, flags: bool = True) -> list[str]:
        found = [each for each in self.params if isinstance(each, click.Option)]
        return [name for each in found if flags or not each.is_flag for name in each.opts]

    def _with_value(self) -> frozenset[str]:
        return frozenset(self._names(flags=False)) - {"--mule"}


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before and after the first '--'."""
    if "--" not in arguments:
        return list(arguments), []
    at = list(arguments).index("--")
    if at == len(arguments) - 1:
        raise click.UsageError("there is no command after '--': give one, or leave '--' out")
    return list(arguments[:at]), list(arguments[at + 1 :])


def _read(
    arguments: list[str], with_value: frozenset[str], known: frozenset[str]
) -> tuple[list[str], list[str]]:
    """The arguments with a blank value for each bare --mule, and --mule and --mules in their order."""
    rewritten: list[str] = []
    order: list[str] = []
    words = iter(arguments)
    previous = ""
    for word in words:
        # After an option that does not exist the word may be its value: click names the option.
        if not word.startswith("-") and (not previous or previous in known):
            raise _stray(word, previous)
        rewritten.append("--mule=" if word == "--mule" else word)
        name = word.partition("=")[0]
        if name in _ORDERED:
            order.append(name)
        if word in with_value:
            rewritten += [value for value in (next(words, None),) if value is not None]
        previous = name
    return rewritten, order


#: Options whose order among each other counts.
_ORDERED = ("--mule", "--mules", "--ini", "--xml", "--yaml", "--yml", "--json")


def _stray(word: str, previous: str) -> click.UsageError:
    if previous == "--mule":
        return click.UsageError(
            f"unexpected argument {word!r} after --mule: its program follows an equals sign, --mule={word}"
        )
    return click.UsageError(f"unexpected argument {word!r}: a command to run stands after '--'")


def execute(ctx: click.Context, /, **values: Any) -> int:
    """Start a bus and stay until it is stopped.

    With a COMMAND, run it once the bus is ready; when it ends the bus stops, and its exit code is passed
    on. Options on the command line go before those of files; repeatable ones add to them.
    """

    from ipcmules.kernel import supervision

    notifier = supervision.take()
    commandline.add_own_programs()
    used: list[Given] = []
    pidfiles: list[PidFile] = []
    terminals: list[int] = []

    def describe() -> BusConfig:
        given = collect(ctx, values, reload=bool(used))
        used.append(given)
        # uWSGI's env: for the app and for the command, so for this process, which starts both.
        os.environ.update(given.get("environment", ()))
        for each in given.get("unset", ()):
            os.environ.pop(each, None)
        hooks.before_user(given)
        if given.get("pidfile", "") and not given.reload:
            path = os.path.join(given.get("chdir", "."), given.get("pidfile", ""))
            pidfiles.append(PidFile(os.path.abspath(path)))  # as the user that this is now: perhaps root
        if given.get("log_format", ""):
            os.environ[log.FORMAT_VARIABLE] = given.get("log_format", "")
        user.mask(given.get("umask", ""))
        if given.get("log_level", ()):
            os.environ[log.LEVEL_VARIABLE] = ",".join(given.get("log_level", ()))
        if given.get("log_file", "") and not given.reload:
            path = os.path.join(given.get("chdir", "."), given.get("log_file", ""))
            user.own(path, given.get("uid", ""), given.get("gid", ""))
        user.become(given.get("uid", ""), given.get("gid", ""))
        described = build(given, values["bus"], ctx.meta[_COMMAND])
        _write_to(given.get("log_file", ""), described.directory, terminals)
        _warn(given)
        hooks.before_app(given, described.directory)
        return described

    started: list[BusConfig] = []

    def ready(report: dict[str, Any]) -> None:
        _say_ready(described, report)
        if not started:
            hooks.after_app(used[-1], described.directory)
        started.append(described)
        _close(terminals)

    again = describe if _described_in_files(values) else None
    try:
        described = describe()
        from ipcmules.master.run import run

        pidfile = next(iter(pidfiles), None)
        return run(described, ready, reread=again, status=_status, notifier=notifier, pidfile=pidfile)
    except IpcMulesError as error:
        _tell(terminals, error)
        raise
    finally:
        _close(terminals)
        for pid_file in pidfiles:
            pid_file.close()
        if started:
            hooks.at_exit(used[-1], described.directory)


def _tell(descriptors: list[int], error: IpcMulesError) -> None:
    """Say why a bus with a log file did not start; the file has it too, but who starts it looks here."""
    for each in descriptors:
        with contextlib.suppress(OSError):  # it is gone
            os.write(
                each, f"ipcmules: error: {for_people(str(error), lines=True)}\n".encode(errors="replace")
            )


def _close(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())


def _write_to(name: str, directory: str, before: list[int]) -> None:
    """Have this process and all below it write to a log file. Raises ConfigError.

    before: gets a descriptor of what stderr was.
    """
    path = os.path.join(directory, name)
    if not name or os.environ.get(log.FILE_VARIABLE) == path:
        return  # at a reload
    try:
        before.append(os.dup(2))
        for descriptor in (2, 1):
            lines.become(path, descriptor)
    except OSError as error:
        _close(before)
        raise ConfigError(f"--log-file {name}: {error.strerror}: give a file that can be written") from error
    os.environ[log.FILE_VARIABLE] = path


def _status(where: Places) -> str:
    from ipcmules.cli import status
    from ipcmules.snapshot import take

    return "\n".join(status.lines(take(where).to_json()))


#: The options that name files of uWSGI's.
_FILES = ("ini", "xml", "yaml", "json")


def _described_in_files(values: dict[str, Any]) -> bool:
    return bool(values["config"] or any(values[each] for each in _FILES))


def _warn(given: Given) -> None:
    """Say what of a configuration is not done here, and what is for others to do."""
    if given.missing:
        said = "; ".join(f"{', '.join(names)} ({what})" for what, names in given.missing.items())
        print(f"ipcmules: warning: not done here, with what will be missing: {said}", file=sys.stderr)
    if given.unused:
        print(f"ipcmules: options that have no meaning here: {'; '.join(given.unused)}", file=sys.stderr)


def collect(ctx: click.Context, values: dict[str, Any], reload: bool = False) -> Given:
    """The options that describe a bus, from files and then from the command line; `doctor` takes them too.

    reload: they are read again, for a reload.
    """
    given = Given()
    given.reload = reload
    named = {f"--{each}": iter(values[each]) for each in _FILES if values[each]}
    named["--yml"] = named.get("--yaml", iter(()))
    files = [(name[2:], next(named[name])) for name in ctx.meta[_ORDER] if name in named]
    # uWSGI reads its variables always; here only where a bus is described as there.
    environment = bool(files or values["compat"]) and any(each.startswith("UWSGI_") for each in os.environ)
    if files or environment:
        from ipcmules.cli import inifile

        inifile.load(files, given, environment)
    for path in values["config"]:
        from ipcmules.cli import toml

        toml.load(path, given)
    # In the order of the command line: that is how mules get their numbers.
    mules = {"--mule": iter(values["mule"]), "--mules": iter(values["mules"])}
    for name in ctx.meta[_ORDER]:
        if name not in mules:
            continue
        given.add(name[2:], next(mules[name]), name)
    for each in ctx.command.params:
        if isinstance(each, BusOption) and each.name not in _APART:
            _add(given, each.option.name, values[str(each.name)])
    return given


#: What is taken otherwise: files before everything else, mules in their order, and the name of the bus.
_APART = frozenset({*_FILES, "config", "mule", "mules", "bus"})


def command_of(ctx: click.Context) -> tuple[str, ...]:
    """The words behind '--'."""
    found: tuple[str, ...] = ctx.meta[_COMMAND]
    return found


def _add(given: Given, name: str, value: Any) -> None:
    if isinstance(value, tuple):
        for each in value:
            given.add(name, each, f"--{name}")
    elif isinstance(value, str) or value is True:
        given.add(name, str(value), f"--{name}")


def _say_ready(config: BusConfig, report: dict[str, Any]) -> None:
    counts = (
        _count(len(config.mules), "mule"),
        _count(len(config.farms), "farm"),
        _count(config.processes, "worker"),
        *([_count(len(config.spooler_directories), "spooler")] if config.spoolers else []),
        _count(config.locks + 1, "lock"),
    )
    text = f"bus {config.name} ready: {', '.join(counts)}, in {report['seconds']:.2f} s"
    if log.is_json() or log.FILE_VARIABLE in os.environ:
        log.event("info", text)
    else:  # for who started it; a log file has the moment of each line
        lines.write(f"ipcmules: {text} (pid {report['pid']})\n".encode())


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


command = DescribesBus(
    "run",
    callback=click.pass_context(execute),
    params=parameters(),
    options_metavar="[OPTIONS] [-- COMMAND...]",
    help=execute.__doc__,
    epilog="""Examples:

    \b
    ipcmules run --mule=worker.py -- python app.py
        one mule that runs worker.py, beside the application
    ipcmules run --mules 4 --farm mail:1,2 --import tasks -- gunicorn site:app
        four mules for what tasks.py registers, two of them also the farm mail
    ipcmules run --spooler spool --import tasks --cron '0 3 * * * backup'
        a spooler, and a command every night
    ipcmules run --config bus.toml
        the same options from a file""",
)
