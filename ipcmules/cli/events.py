"""`ipcmules events`: what raises signals by itself on a running bus; to run it now, and to pause it."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

import click

from ipcmules.cli import completing
from ipcmules.cli.groups import Group
from ipcmules.cli.target import bus_option, running
from ipcmules.errors import ConfigError
from ipcmules.kernel.printable import for_people

#: Columns where the output is no terminal's.
_WIDTH = 250


@click.group(cls=Group, invoke_without_command=True)
@bus_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, bus: str | None, as_json: bool) -> None:
    """List the timers, crons and file monitors of a running bus, with their next time and their runs.

    With a command, do something to the one with an ID; --json shows the IDs, the beginning of one will do.
    """
    ctx.obj = bus
    if ctx.invoked_subcommand is None:
        _list(bus, as_json)


@command.command()
@bus_option
@click.argument("event", metavar="ID", shell_complete=completing.events)
@click.pass_obj
def run(above: str | None, bus: str | None, event: str) -> None:
    """Have an event run now: raise its signal, or run its command."""
    question = {"do": "events.run", "once": secrets.token_hex(16)}
    click.echo(f"{_ask(bus or above, event, question)}: told to run")


@command.command()
@bus_option
@click.argument("event", metavar="ID", shell_complete=completing.events)
@click.pass_obj
def pause(above: str | None, bus: str | None, event: str) -> None:
    """Have nothing come of an event's ticks, until `resume` or the end of the bus."""
    click.echo(f"{_ask(bus or above, event, {'do': 'events.pause', 'paused': True})}: paused")


@command.command()
@bus_option
@click.argument("event", metavar="ID", shell_complete=completing.events)
@click.pass_obj
def resume(above: str | None, bus: str | None, event: str) -> None:
    """Have an event go on that is paused."""
    click.echo(f"{_ask(bus or above, event, {'do': 'events.pause', 'paused': False})}: goes on")


def _ask(bus: str | None, event: str, question: dict[str, Any]) -> str:
    """Ask the master about the event with an ID; returns what it is called, for people."""
    from ipcmules.bus import control

    where = running(bus)
    listed = control.ask(where, {"do": "events.list"})["events"]
    meant = [each for each in listed if event and each["id"].startswith(event)]
    if len(meant) != 1:
        what = "no event has" if not meant else f"{len(meant)} events have"
        raise ConfigError(f"{what} the ID {event!r}: 'ipcmules events --json' shows them")
    control.ask(where, {**question, "id": meant[0]["id"]})
    return for_people(f"{meant[0]['schedule']} {meant[0]['handler'] or ''}".strip())


def _list(bus: str | None, as_json: bool) -> None:
    from ipcmules.bus import control

    found = control.ask(running(bus), {"do": "events.list"})["events"]
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif found:
        _print(found)
    else:
        click.echo("no events")


def _print(found: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("signal", "kind", "schedule", "target", "handler"):
        table.add_column(title, overflow="ellipsis")
    for title in ("next", "raised", "runs", "skips", "last"):
        table.add_column(title, justify="right", no_wrap=True)
    for each in found:
        texts = (_signal(each), each["kind"], _schedule(each), each["target"] or "-", each["handler"] or "-")
        counts = (str(each[key]) for key in ("ticks", "runs", "skips"))
        # Text: what a user wrote is no markup.
        table.add_row(*map(Text, map(for_people, texts)), _next(each), *counts, _last(each["last_duration"]))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH  # what a program reads is not folded at 80 columns
    console.print(table)


def _signal(event: dict[str, Any]) -> str:
    return "-" if event["signal"] is None else str(event["signal"])


def _schedule(event: dict[str, Any]) -> str:
    zone = f" {event['zone']}" if event["zone"] else ""
    return f"{event['schedule']}{zone}{'' if event['overlap'] else ', no overlap'}"


def _next(event: dict[str, Any]) -> str:
    moment = event["next"]
    if event["paused"] or moment is None:
        return "paused" if event["paused"] else "-"
    away = moment - time.time()
    if away < 60:
        return f"in {max(away, 0.0):.1f} s"
    form = "%H:%M" if away < 12 * 3600 else "%Y-%m-%d %H:%M"
    return time.strftime(form, time.localtime(moment))


def _last(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"
