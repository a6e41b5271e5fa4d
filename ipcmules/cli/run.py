"""`ipcmules run`: describe a bus, be its master, and say when it is ready."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from ipcmules import log
from ipcmules.cli import spooling, user
from ipcmules.cli.assembly import build
from ipcmules.cli.options import Given
from ipcmules.config import BusConfig

#: Where parsing leaves what click has no place for: the order of --mule and --mules, and the command.
_ORDER, _COMMAND = "ipcmules.order", "ipcmules.command"


class DescribesBus(click.Command):
    """Splits off '-- COMMAND', and reads --mule as uWSGI's getopt does: its value only after '='.

    click would take the next word for the optional value, whatever it is meant for.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own, command = _split(args)
        rewritten, order = _read(own, self._with_value(), frozenset(self._names()))
        ctx.meta[_COMMAND], ctx.meta[_ORDER] = tuple(command), order
        return super().parse_args(ctx, rewritten)

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
        if name in ("--mule", "--mules"):
            order.append(name)
        if word in with_value:
            rewritten += [value for value in (next(words, None),) if value is not None]
        previous = name
    return rewritten, order


def _stray(word: str, previous: str) -> click.UsageError:
    if previous == "--mule":
        return click.UsageError(
            f"unexpected argument {word!r} after --mule: its program follows an equals sign, --mule={word}"
        )
    return click.UsageError(f"unexpected argument {word!r}: a command to run stands after '--'")


def _option(*names: str, metavar: str, help: str, many: bool = False) -> Callable[[Any], Any]:
    # Values stay text here: options.py reads them, for files as well.
    return click.option(*names, metavar=metavar, help=help, multiple=many)


@click.command(cls=DescribesBus, options_metavar="[OPTIONS] [-- COMMAND...]")
@_option(
    "--mule",
    metavar="[=PROGRAM]",
    many=True,
    help="Add a mule, signal-only or running PROGRAM: path.py or package.module:callable. "
    "The value follows an equals sign.",
)
@_option("--mules", metavar="N", many=True, help="Add N signal-only mules.")
@_option("--farm", metavar="NAME:1,2", many=True, help="Name a group of mules.")
@_option(
    "-p", "--processes", "--workers", "processes", metavar="N", help="Start N workers that load the app."
)
@_option("--import", "imports", metavar="MODULE|FILE", many=True, help="Load a part of the app.")
@click.option("--lazy-apps", is_flag=True, help="Load the app in each process instead of once.")
@_option("--locks", metavar="N", help="Have locks 0 to N.")
@_option("--bus", metavar="NAME", help="Name the bus [default: $IPCMULES_BUS, else 'default'].")
@_option("--set", "settings", metavar="KEY=VALUE", many=True, help="Set a value that the app can read.")
@_option("--pyargv", metavar="ARGS", help="Arguments of mule programs, separated by spaces.")
@_option(
    "--mule-reload-mercy",
    metavar="SECONDS",
    help="How long a stop may take to drain, and a reloaded mule to finish [default: 60].",
)
@_option("--mule-harakiri", metavar="SECONDS", help="Kill a mule whose hook or handler takes longer.")
@_option("--mule-max-msgs", metavar="N", help="Replace a mule after N messages.")
@_option("--touch-mules-reload", metavar="FILE", many=True, help="Reload when FILE is touched.")
@_option(
    "--attach-daemon",
    metavar="COMMAND",
    many=True,
    help="Run COMMAND beside the mules, and again whenever it ends.",
)
@_option(
    "--cron",
    metavar="'MIN HOUR DAY MONTH WDAY COMMAND'",
    many=True,
    help="Run COMMAND at these times: numbers (-1 any, -5 every fifth) or a crontab expression.",
)
@_option("--cron2", metavar="'[KEY=VALUE,...] COMMAND'", many=True, help="The same in uWSGI's other form.")
@_option(
    "--unique-cron",
    metavar="'MIN ... COMMAND'",
    many=True,
    help="As --cron, not while the former is running.",
)
@_option("--cron-harakiri", metavar="SECONDS", help="Kill a --cron command that takes longer.")
@_option(
    "--signal-timer",
    "--timer",
    "signal_timer",
    metavar="'N SECONDS'",
    many=True,
    help="Raise signal N so often.",
)
@_option(
    "--signal-rbtimer",
    "--rbtimer",
    "signal_rbtimer",
    metavar="'N SECONDS [TIMES]'",
    many=True,
    help="Raise signal N so often, and so many times.",
)
@_option("--touch-signal", metavar="'FILE N'", many=True, help="Raise signal N when FILE is touched.")
@_option("--fs-signal", metavar="'PATH N'", many=True, help="Raise signal N when PATH changes in any way.")
@spooling.options
@_option("--chdir", metavar="DIR", help="Change directory first; other paths are relative to it.")
@_option("--pythonpath", metavar="DIR", many=True, help="Add a directory to sys.path.")
@_option("--queue-share", metavar="SHARE", help="Share of RLIMIT_MSGQUEUE for this bus [default: 0.5].")
@_option(
    "--on-mule-death",
    metavar="dead-letter|requeue|drop",
    help="What becomes of a message in the hands of a mule that died [default: dead-letter].",
)
@_option("--max-requeues", metavar="N", help="With requeue: a dead letter after N requeues [default: 3].")
@_option(
    "--on-hook-error",
    metavar="log|keep",
    help="What becomes of a message whose hook raised: keep makes it a dead letter [default: log].",
)
@_option("--log-format", metavar="text|json", help="How events are written to stderr [default: text].")
@click.option("--compat", is_flag=True, help="Let the app import uwsgi and uwsgidecorators.")
@_option("--socket", metavar="ADDRESS", many=True, help="Take packets of the uwsgi protocol at ADDRESS.")
@_option("--socket-allow", metavar="NETWORK", many=True, help="Take them from NETWORK too.")
@_option("--socket-key-file", metavar="FILE", help="A key that signs pickled tasks.")
@_option("--hook-as-mule", metavar="KIND:ARG", many=True, help="exec:, print:, cd:, write: in new mules.")
@_option("--reload-mercy", metavar="SECONDS", help="As --mule-reload-mercy, where that is not given.")
@_option("--worker-reload-mercy", metavar="SECONDS", help="The same.")
@_option("--alarm", metavar="'NAME KIND:ARG'", many=True, help="What uwsgi.alarm(NAME, text) does.")
@_option("--ini", metavar="FILE", many=True, help="Read options from a uWSGI ini file.")
@_option("--config", metavar="FILE", many=True, help="Read options from a TOML file.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    ini: tuple[str, ...],
    config: tuple[str, ...],
    mule: tuple[str, ...],
    mules: tuple[str, ...],
    bus: str | None,
    **others: Any,
) -> int:
    """Start a bus and stay until it is stopped.

    With a COMMAND, run it once the bus is ready; when it ends the bus stops, and its exit code is passed
    on. Options on the command line go before those of files; repeatable ones add to them.
    """

    def describe() -> BusConfig:
        given = collect(ctx, ini, config, mule, mules, others)
        # uWSGI's env: for the app and for the command, so for this process, which starts both.
        os.environ.update(given.get("environment", ()))
        if given.get("log_format", ""):
            os.environ[log.FORMAT_VARIABLE] = given.get("log_format", "")
        user.become(given.get("uid", ""), given.get("gid", ""))
        described = build(given, bus, ctx.meta[_COMMAND])
        if given.unused:
            print(f"ipcmules: options that have no meaning here: {'; '.join(given.unused)}", file=sys.stderr)
        return described

    described = describe()

    from ipcmules.master.run import run

    again = describe if ini or config else None
    return run(described, lambda report: _say_ready(described, report), reread=again)


def collect(
    ctx: click.Context,
    ini: Sequence[str],
    config: Sequence[str],
    mule: Sequence[str],
    mules: Sequence[str],
    others: dict[str, Any],
) -> Given:
    """The options that describe a bus, from files and then from the command line; `doctor` takes them too."""
    given = Given()
    _read_files(given, ini, config)
    _add_mules(given, ctx.meta[_ORDER], iter(mule), iter(mules))
    _add_others(given, others)
    return given


def _read_files(given: Given, ini: Sequence[str], config: Sequence[str]) -> None:
    for path in ini:
        from ipcmules.cli import inifile

        inifile.load(path, given)
    for path in config:
        from ipcmules.cli import toml

        toml.load(path, given)


def _add_mules(given: Given, order: list[str], mule: Any, mules: Any) -> None:
    """In the order of the command line: that is how mules get their numbers."""
    values = {"--mule": mule, "--mules": mules}
    for name in order:
        given.add(name[2:], next(values[name]), name)


#: Where click's parameter has another name than the option.
_NAMES = {"imports": "import", "settings": "set"}


def _add_others(given: Given, values: dict[str, Any]) -> None:
    for parameter, value in values.items():
        name = _NAMES.get(parameter, parameter.replace("_", "-"))
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
    if log.is_json():
        log.event("info", text)
    else:
        print(f"ipcmules: {text} (pid {report['pid']})", file=sys.stderr, flush=True)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
