"""`ipcmules dead`: look at dead letters, send them again, or drop them."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable
from typing import Any

import click

from ipcmules.bus.places import Places
from ipcmules.cli import completing, dead_of_cluster, progress
from ipcmules.cli.groups import Group
from ipcmules.cli.options import named
from ipcmules.cli.shapes import duration
from ipcmules.cli.target import bus_option, bus_places, running
from ipcmules.errors import ConfigError, IpcMulesError
from ipcmules.kernel import times
from ipcmules.kernel.printable import for_people
from ipcmules.messages import kept
from ipcmules.messages import letters as dead_letters
from ipcmules.messages.kept import Kept

#: How much of a message `show` prints as text.
_LONGEST = 4096


@click.group(cls=Group)
def command() -> None:
    """Show, requeue or drop dead letters: messages that a mule died with, or that nobody took.

    Each is a file in the state directory and has an ID; the beginning of one is enough.
    """


@command.command("list")
@bus_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(bus: str | None, as_json: bool) -> None:
    """List the dead letters, oldest first."""
    found, waiting = _headers(bus_places(bus))
    if as_json:
        click.echo(json.dumps([dead_letters.told(each) for each in found], indent=2))
        return
    if found:
        _print(found)
    else:
        click.echo("no dead letters")
    if waiting:
        click.echo(f"{waiting} more messages wait for the bus to have room, or to start")


@command.command()
@bus_option
@click.option("--raw", is_flag=True, help="Print the message alone, byte for byte.")
@click.argument("letter", metavar="ID", shell_complete=completing.letters)
def show(bus: str | None, raw: bool, letter: str) -> None:
    """Show one dead letter: what is known of it, and the message."""
    [path] = _paths(bus_places(bus), (letter,), False)
    found = dead_of_cluster.load(bus_places(bus), path) or _loaded(path)
    if raw:
        sys.stdout.buffer.write(found.data)
        sys.stdout.buffer.flush()
        return
    for key, value in dead_letters.told(found).items():
        click.echo(f"{key}: {_when(found) if key == 'time' else for_people(str(value))}")
    text = found.data[:_LONGEST].decode("utf-8", "backslashreplace")
    click.echo(f"\n{for_people(text, lines=True)}")
    if found.length > _LONGEST:
        click.echo(f"[{found.length - _LONGEST} more bytes: --raw prints all]")


def _all_option(what: str) -> Callable[[Any], Any]:
    return click.option("--all", "everything", is_flag=True, help=f"{what} every dead letter.")


@command.command()
@bus_option
@_all_option("Send")
@click.option(
    "--to",
    "target",
    metavar="TARGET",
    help="Send to pool, muleN or farm.NAME instead.",
    shell_complete=completing.targets,
)
@click.argument("letters", metavar="[ID]...", nargs=-1, shell_complete=completing.letters)
def requeue(bus: str | None, everything: bool, target: str | None, letters: tuple[str, ...]) -> int:
    """Send dead letters again, to where they were sent or --to TARGET. The bus must be running.

    A dead letter is removed once its message is in the queue, for which this waits; its attempts are counted
    anew. Exits with 1 if one could not be sent.
    """
    wanted = None if target is None else named("--to", _destination, target)
    paths = _paths(bus_places(bus), letters, everything)
    where = running(bus)

    from ipcmules.embed.attachment import attach

    failed = 0
    done = 0
    with progress.shown("sending", lambda: f"{done} of {len(paths)}"), attach(where.bus) as attached:

        def send(letter: Kept) -> None:
            to = _destination(letter.endpoint) if wanted is None else wanted
            attached.mule_msg(letter.data, to)

        for done, path in enumerate(paths):  # noqa: B007 # for the progress
            failed += not _take(where, path, None if wanted is None else str(wanted), send)
    click.echo(_said(len(paths) - failed, "sent again", failed))
    return 1 if failed else 0


@command.command()
@bus_option
@_all_option("Remove")
@click.argument("letters", metavar="[ID]...", nargs=-1, shell_complete=completing.letters)
def drop(bus: str | None, everything: bool, letters: tuple[str, ...]) -> int:
    """Remove dead letters for good."""
    where = bus_places(bus)
    paths = _paths(where, letters, everything)
    failed = sum(not _take(where, path, None, None) for path in paths)
    click.echo(_said(len(paths) - failed, "dropped", failed))
    return 1 if failed else 0


def _said(done: int, what: str, failed: int) -> str:
    return f"{done} dead letter{'' if done == 1 else 's'} {what}" + (f", {failed} failed" if failed else "")


def _destination(text: str) -> int | str:
    """Mule number, or farm name; 0 is the pool. Raises ConfigError."""
    if text in ("pool", "0"):
        return 0
    number = text[4:] if text.startswith("mule") else text
    if number.isascii() and number.isdigit() and len(number) < 10:
        return int(number)
    if text.startswith("farm.") and len(text) > 5:
        return text[5:]
    if "@" in text:  # a mule of another host of the cluster
        return text
    raise ConfigError(f"{text!r} is no target of messages: give pool, muleN, farm.NAME or N@HOST")


def _headers(where: Places) -> tuple[list[Kept], int]:
    found, waiting = dead_letters.headers(
        where, lambda text: print(f"ipcmules: {for_people(text)}", file=sys.stderr)
    )
    return found + dead_of_cluster.headers(where), waiting


def _paths(where: Places, letters: tuple[str, ...], everything: bool) -> list[str]:
    """The files that IDs, or their beginnings, name; all with --all. Raises ConfigError."""
    if bool(letters) == everything:
        raise ConfigError("give either IDs ('ipcmules dead list' shows them) or --all")
    headers, _waiting = _headers(where)
    if everything:
        return [each.path for each in headers]
    chosen: dict[str, None] = {}
    for letter in letters:
        matching = [each for each in headers if each.id == letter] or [
            each for each in headers if letter and each.id.startswith(letter)
        ]
        if len(matching) != 1:
            what = "no dead letter has" if not matching else f"{len(matching)} dead letters have"
            raise ConfigError(
                f"{what} the ID {letter!r} on bus {where.bus!r}: "
                f"'ipcmules dead list --bus {where.bus}' shows them"
            )
        chosen[matching[0].path] = None
    return list(chosen)


def _loaded(path: str) -> Kept:
    try:
        return kept.load(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"the dead letter {path} cannot be read: {error}") from error


def _take(where: Places, path: str, to: str | None, send: Callable[[Kept], None] | None) -> bool:
    """Send a dead letter (or only drop it) and remove it. False, with a word, if that failed.

    to: where it is sent instead, None for where it was sent.
    """
    try:
        if dead_of_cluster.is_one(path):
            dead_of_cluster.take(where, path, to, send is not None)
        else:
            dead_letters.take(path, send)
        return True
    except (IpcMulesError, OSError, ValueError) as error:
        print(f"ipcmules: error: {for_people(f'{os.path.basename(path)}: {error}')}", file=sys.stderr)
        return False


def _when(letter: Kept) -> str:
    return times.local(letter.time)


def _print(letters: list[Kept]) -> None:
    # Plain columns, the longest last: IDs are never cut. On a terminal the reason has lines of its own.
    now = time.time()
    rows = [("id", "age", "target", "mule", "bytes", "tries", "reason")]
    for each in letters:
        where, process, reason = map(for_people, (each.endpoint, each.process, each.reason))
        numbers = str(each.length), str(each.attempts)
        age = duration(max(now - each.time, 0.0))
        rows.append((for_people(each.id), age, where, process, *numbers, reason))
    narrow = max(shutil.get_terminal_size().columns, 40) if sys.stdout.isatty() else 0
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row[:6], widths, strict=True)]
        click.echo("  ".join(cells if narrow else [*cells, row[6]]).rstrip())
        if narrow and row is not rows[0]:
            click.echo(textwrap.fill(row[6], narrow, initial_indent="  ", subsequent_indent="  "))
