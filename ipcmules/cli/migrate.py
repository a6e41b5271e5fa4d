"""`ipcmules migrate`: what becomes of a uWSGI configuration, option by option."""

from __future__ import annotations

import os
import sys

import click

from ipcmules.cli import migration
from ipcmules.errors import ConfigError

_TITLES = {
    "bus": "Taken over",
    "server": "For the web server",
    "nothing": "Not needed any more",
    "look": "Look at these yourself",
}


@click.command()
@click.argument("ini", metavar="FILE.ini")
@click.option("--output", "-o", metavar="FILE.toml", help="Where to write [default: beside it]; - is stdout.")
@click.option("--force", is_flag=True, help="Write over a file that exists.")
@click.option(
    "--server",
    type=click.Choice(["gunicorn", "granian"]),
    default="gunicorn",
    help="What serves the requests from now on [default: gunicorn].",
)
def command(ini: str, output: str | None, force: bool, server: str) -> int:
    """Explain a uWSGI ini file, and write the TOML file and the command line that take its place."""
    found = migration.read(ini, server)
    toml = output or f"{os.path.splitext(ini)[0]}.toml"
    out = sys.stderr if toml == "-" else sys.stdout
    for kind, title in _TITLES.items():
        lines = [each for each in found.lines if each.kind == kind]
        if lines:
            print(f"{title}:", file=out)
        for each in lines:
            print(f"  {each.where}: {each.key}{f' = {each.value}' if each.value else ''}", file=out)
            print(f"      {each.text}", file=out)
        if lines:
            print(file=out)
    if toml == "-":
        print(found.toml, end="")
    else:
        _write(toml, found.toml, force)
        print(f"{toml} is written. Start the bus and the web server with:\n", file=out)
    print(f"    {_named(found.command, toml)}", file=out)
    return 0


def _named(line: str, toml: str) -> str:
    words = line.split(" ")
    if toml != "-":
        words[words.index("--config") + 1] = toml
    return " ".join(words)


def _write(path: str, text: str, force: bool) -> None:
    try:
        with open(path, "w" if force else "x", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(
            f"{path} exists: add --force to write over it, or name another file with --output"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}; name another with --output"
        ) from error
