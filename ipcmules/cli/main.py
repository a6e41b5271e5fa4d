"""The command `ipcmules`: finds the command asked for, and turns errors into one line and an exit code.

Each command's module is imported only when that command runs: `ipcmules msg` stands in shell loops.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Sequence
from typing import NoReturn

import click

from ipcmules.bus import log
from ipcmules.cli.groups import Group
from ipcmules.errors import ConfigError, IpcMulesError, LimitError
from ipcmules.kernel import lines
from ipcmules.kernel.printable import for_people

#: In the order of --help, by what they are for; each is a module of this package with a click command named
#: `command`.
GROUPS = {
    "A bus": ("run", "reload", "stop"),
    "Give it work": ("msg", "signal", "spool"),
    "Look at it": ("status", "top", "web", "list", "events"),
    "What waits and what failed": ("tasks", "dead"),
    "Around it": ("doctor", "clean", "cluster", "migrate", "service", "completion"),
}
COMMANDS = tuple(each for group in GROUPS.values() for each in group)

#: Exit codes: wrong input, as in every Unix command line; and something that did not work out.
WRONG_INPUT, FAILED, INTERRUPTED = 2, 1, 130


class _Commands(Group):
    """A group that imports a command when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"ipcmules.cli.{cmd_name}").command
        return command

    def sections(self, ctx: click.Context) -> Iterable[tuple[str, Iterable[str]]]:
        """See Group."""
        return GROUPS.items()


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from ipcmules import __version__

        click.echo(f"ipcmules {__version__}")
        ctx.exit()


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""Examples:

    \b
    ipcmules run --bus shop --mules 4 --import tasks -- gunicorn site:app
    ipcmules top --bus shop
    ipcmules tasks list --bus shop --state dead
    ipcmules COMMAND --help""",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Print the version.",
)
def _group() -> None:
    """Background work for Python programs: mules, tasks, signals, timers, locks."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command line (sys.argv's by default) and exit with its code.

    Wrong input exits with 2 and a failure with 1, both with one line 'ipcmules: error: ...' on stderr.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_run(given or ["--help"]))


def _run(arguments: list[str]) -> int:
    if "_IPCMULES_COMPLETE" in os.environ:  # a shell asks: click answers from here on
        from ipcmules.cli import shells

        shells.register()
    try:
        code = _group.main(arguments, prog_name="ipcmules", standalone_mode=False)
    except click.ClickException as error:
        name = f" {arguments[0]}" if arguments[0] in COMMANDS else ""
        return _failed(f"{error.format_message()} (see 'ipcmules{name} --help')", WRONG_INPUT)
    except IpcMulesError as error:
        code = WRONG_INPUT if isinstance(error, (ConfigError, LimitError)) else FAILED
        if arguments[0] == "run" and log.is_json():
            log.configure()
            log.event("error", str(error))  # as everything that this process writes to stderr
            return code
        return _failed(str(error), code, waits=arguments[0] != "run")
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _failed(text: str, code: int, waits: bool = True) -> int:
    line = f"ipcmules: error: {for_people(text, lines=True)}"
    if waits or sys.stderr is not sys.__stderr__:
        print(line, file=sys.stderr)
    else:  # as the log: perhaps nobody reads it, and a master must end
        lines.write(line.encode(errors="replace") + b"\n")
    return code
