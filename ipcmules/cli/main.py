"""The command `ipcmules`: finds the command asked for, and turns errors into one line and an exit code.

Each command's module is imported only when that command runs: `ipcmules msg` stands in shell loops.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from ipcmules import log
from ipcmules.errors import ConfigError, IpcMulesError, LimitError

#: In the order of --help; each is a module of this package with a click command named `command`.
COMMANDS = (
    "run",
    "msg",
    "signal",
    "spool",
    "tasks",
    "status",
    "events",
    "reload",
    "stop",
    "dead",
    "clean",
    "doctor",
    "migrate",
)

#: Exit codes: wrong input, as in every Unix command line; and something that did not work out.
WRONG_INPUT, FAILED, INTERRUPTED = 2, 1, 130


class _Commands(click.Group):
    """A group that imports a command when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"ipcmules.cli.{cmd_name}").command
        return command


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from ipcmules import __version__

        click.echo(f"ipcmules {__version__}")
        ctx.exit()


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Print the version.",
)
def _group() -> None:
    """Mules, farms, signals and locks for any Python application."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command line (sys.argv's by default) and exit with its code.

    Wrong input exits with 2 and a failure with 1, both with one line 'ipcmules: error: ...' on stderr.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_run(given or ["--help"]))


def _run(arguments: list[str]) -> int:
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
        return _failed(str(error), code)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _failed(text: str, code: int) -> int:
    print(f"ipcmules: error: {text}", file=sys.stderr)
    return code
