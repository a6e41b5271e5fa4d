"""`ipcmules status`: the bus as a table, or as JSON."""

from __future__ import annotations

import json
from typing import Any

import click

from ipcmules.cli import snapshot
from ipcmules.cli.target import bus_option, bus_places

#: Columns of what is read by a program or a pager.
_WIDE = 200


@click.command()
@bus_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(bus: str | None, as_json: bool) -> int:
    """Show the bus's processes, queues and counts. Exits with 1 where the bus is not ready."""
    found = snapshot.take(bus_places(bus))
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _print(found)
    return 0 if found["state"] == "ready" else 1


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:  # rich would fold the table at 80 columns, in the middle of a state
        console.width = _WIDE
    master = f", master pid {found['master']['pid']}" if found["master"]["pid"] else ""
    console.print(f"bus {found['bus']}: {found['state']}{master}", markup=False, soft_wrap=True)
    if found["listener"] is not None:
        addresses, pid = ", ".join(found["listener"]["addresses"]), found["listener"]["pid"]
        console.print(f"listening: {addresses} (pid {pid})", markup=False, soft_wrap=True)
    if not found["mules"] and not found["workers"] and not found["spoolers"]:
        return
    console.print(_processes(found))
    waiting = [f"{each['endpoint']} {each['messages']}" for each in found["queues"] if each["messages"]]
    farms = [f"{name}: {', '.join(map(str, mules))}" for name, mules in found["farms"].items()]
    # soft_wrap: lines that a program reads are not broken at 80 columns.
    deaths = [
        f"{kind} {each['id']} {each['last_death']} {_duration(each['last_death_ago'])} ago"
        for kind in ("mule", "spooler", "worker")
        for each in found[f"{kind}s"]
        if each["last_death"]
    ]
    for title, entries in (("farms", farms), ("frames queued", waiting), ("last deaths", deaths)):
        console.print(f"{title}: {'; '.join(entries) or 'none'}", markup=False, soft_wrap=True)


def _processes(found: dict[str, Any]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("process", "state", "program"):
        table.add_column(title, overflow="fold")
    for title in ("pid", "messages", "signals", "respawns", "uptime"):
        table.add_column(title, justify="right", no_wrap=True)
    rows = [(f"mule {each['id']}", each["program"], each) for each in found["mules"]]
    rows += [
        (f"spooler {each['id']}", each["directory"], {**each, "messages": each["tasks"]})
        for each in found["spoolers"]
    ]
    rows += [(f"worker {each['id']}", _kind(each), each) for each in found["workers"]]
    for name, program, each in rows:
        counts = (str(each[key]) for key in ("pid", "messages", "signals", "respawns"))
        # Text: a program's name is no markup.
        table.add_row(name, _state(each), Text(program), *counts, _duration(each["uptime"]))
    return table


def _state(process: dict[str, Any]) -> str:
    if not process["pid"]:
        return str(process["state"])
    return f"{process['doing'] or process['state']} {_duration(process['since'])}"


def _kind(worker: dict[str, Any]) -> str:
    return "app" if worker["launched"] else "attached"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
