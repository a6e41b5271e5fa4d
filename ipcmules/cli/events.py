"""`ipcmules events`: what raises signals by itself on a running bus, as a table, or as JSON."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from ipcmules.cli.target import bus_option, running
from ipcmules.kernel.printable import for_people

#: Columns where the output is no terminal's.
_WIDTH = 250


@click.command()
@bus_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(bus: str | None, as_json: bool) -> None:
    """List the timers, crons and file monitors of a running bus, with their next time and their runs."""
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
        table.add_row(
            *map(Text, map(for_people, texts)), _next(each["next"]), *counts, _last(each["last_duration"])
        )
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH  # what a program reads is not folded at 80 columns
    console.print(table)


def _signal(event: dict[str, Any]) -> str:
    return "-" if event["signal"] is None else str(event["signal"])


def _schedule(event: dict[str, Any]) -> str:
    zone = f" {event['zone']}" if event["zone"] else ""
    return f"{event['schedule']}{zone}{'' if event['overlap'] else ', no overlap'}"


def _next(moment: float | None) -> str:
    if moment is None:
        return "-"
    away = moment - time.time()
    if away < 60:
        return f"in {max(away, 0.0):.1f} s"
    form = "%H:%M" if away < 12 * 3600 else "%Y-%m-%d %H:%M"
    return time.strftime(form, time.localtime(moment))


def _last(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"
