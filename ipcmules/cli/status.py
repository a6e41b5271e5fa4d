"""`ipcmules status`: the bus as a table, or as JSON."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any

import click

from ipcmules.cli.found import neighbours
from ipcmules.cli.shapes import duration
from ipcmules.cli.target import bus_option, bus_places
from ipcmules.kernel.printable import for_people
from ipcmules.snapshot import take

#: Columns of what is read by a program or a pager.
_WIDE = 200
#: A terminal of fewer is narrow.
_NARROW = 100
#: How rich shows what is wrong, on a terminal and without NO_COLOR; the states that are not.
_BAD, _GOOD = "bold red", ("ready", "starting")


@click.command()
@bus_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--cluster", "of_cluster", is_flag=True, help="Show the cluster instead: hosts, farms, backlogs."
)
def command(bus: str | None, as_json: bool, of_cluster: bool) -> int:
    """Show the bus's processes, queues and counts. Exits with 1 where the bus is not ready.

    With --cluster: where the cluster is away.
    """
    where = bus_places(bus)
    if of_cluster:
        from ipcmules.cli import cluster

        return cluster.status(where, as_json)
    found = take(where).to_json()
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _print(found)
        if found["state"] == "absent":
            click.echo(neighbours(where))
    return 0 if found["state"] == "ready" else 1


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:  # rich would fold the table at 80 columns, in the middle of a state
        console.width = _WIDE
    # soft_wrap: lines that a program reads are not broken at 80 columns.
    for at, each in enumerate(_head(found)):
        style = _BAD if not at and found["state"] not in _GOOD else None
        console.print(each, markup=False, soft_wrap=True, style=style)
    if _rows(found):
        console.print(_processes(found, console.width))
    for each in _tail(found) if _rows(found) else _shared(found):
        bad = each.startswith(("dead letters", "paused")) or (each.startswith("tasks") and " dead" in each)
        console.print(each, markup=False, soft_wrap=True, style=_BAD if bad else None)


def lines(found: dict[str, Any]) -> list[str]:
    """The same as lines of a log."""
    rows = [
        f"{name} ({for_people(program)}): pid {each['pid']}, {_state(each, _duration)}, "
        f"messages {each['messages']}, signals {each['signals']}, respawns {each['respawns']}, "
        f"uptime {_duration(each['uptime'])}"
        for name, program, each in _rows(found)
    ]
    return [*_head(found), *rows, *_tail(found)]


def _head(found: dict[str, Any]) -> list[str]:
    master = f", master pid {found['master']['pid']}" if found["master"]["pid"] else ""
    head = [f"bus {found['bus']}: {found['state']}{master}"]
    if found["listener"] is not None:
        addresses, pid = ", ".join(map(for_people, found["listener"]["addresses"])), found["listener"]["pid"]
        head.append(f"listening: {addresses} (pid {pid})")
    return [*head, *_programs(found)]


def _tail(found: dict[str, Any]) -> list[str]:
    waiting = [_waiting(each) for each in found["queues"] if each["messages"]]
    behind = [f"{each['endpoint']} {each['waiting']}" for each in found["queues"] if each["waiting"]]
    farms = [f"{name}: {', '.join(map(str, mules))}" for name, mules in found["farms"].items()]
    deaths = [
        f"{kind} {each['id']} {each['last_death']} {_duration(each['last_death_ago'])} ago"
        for kind in ("mule", "spooler", "worker")
        for each in found[f"{kind}s"]
        if each["last_death"]
    ]
    titled = [
        ("farms", farms),
        ("frames queued", waiting),
        ("waiting behind queues", behind),
        ("last deaths", deaths),
    ]
    lines = [f"{title}: {'; '.join(entries) or 'none'}" for title, entries in titled]
    return [*lines, *_shared(found), *_tasks(found), *_letters(found), *_paused(found)]


def _cache(cache: dict[str, Any]) -> str:
    if cache["entries"] is None:
        return f"{cache['name']} cannot be read"
    items = f" of {cache['items']}" if cache["items"] else ""
    evicted = f", {cache['evicted']} evicted" if cache["evicted"] else ""
    return (
        f"{cache['name']} {cache['entries']}{items} entries, {_share(cache['used'], cache['size'])}{evicted}"
    )


def _share(used: int, size: int) -> str:
    return f"{used / 2**20:.3g} of {size / 2**20:.3g} MiB"


def _shared(found: dict[str, Any]) -> list[str]:
    """A line for each kind of shared state that there is."""
    counters = [f"{name} {number}" for name, number in found["counters"].items()]
    ring = found["ring"]
    slots = [f"{ring['slots']} slots, push at {ring['push']}, pull at {ring['pull']}"] if ring else []
    areas = []
    for each in found["areas"]:
        file = f" of {for_people(each['file'])}" if each["file"] else ""
        areas.append(f"{each['id']} {each['size']} bytes{file}")
    titled = [("caches", [*map(_cache, found["caches"])]), ("counters", counters)]
    titled += [("queue", slots), ("shared areas", areas)]
    return [f"{title}: {'; '.join(entries)}" for title, entries in titled if entries]


def _tasks(found: dict[str, Any]) -> list[str]:
    """A line for each spool directory with tasks in it."""
    states = ("waiting", "scheduled", "running", "failing", "dead")
    lines = []
    for each in found["tasks"]["directories"]:
        counts = [f"{each[state]} {state}" for state in states if each[state]]
        if counts:
            lines.append(f"tasks: {', '.join(counts)} in {for_people(each['path'])}")
    return lines


def _letters(found: dict[str, Any]) -> list[str]:
    count = found["dead_letters"]["dead"]
    return [f"dead letters: {count} ('ipcmules dead list' shows them)"] if count else []


def _paused(found: dict[str, Any]) -> list[str]:
    """A line for each spool directory of which something is paused."""
    lines = {
        for_people(each["directory"]): ", ".join(
            "all tasks" if name == "*" else for_people(name) for name in each["paused"]
        )
        for each in found["spoolers"]
        if each["paused"]
    }
    return [f"paused: {what} of {directory}" for directory, what in lines.items()]


def _rows(found: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """A process each: its name, what it runs, and what is known of it."""
    rows = [(f"mule {each['id']}", each["program"], each) for each in found["mules"]]
    rows += [
        (f"spooler {each['id']}", _home(each), {**each, "messages": each["tasks"]})
        for each in found["spoolers"]
    ]
    return [*rows, *((f"worker {each['id']}", _kind(each), each) for each in found["workers"])]


def _programs(found: dict[str, Any]) -> list[str]:
    lines = []
    command = found["command"]
    if command is not None:
        servers = ", ".join(f"{each['name']} pid {each['pid']}" for each in command["servers"])
        lines.append(f"command: {_running(command)}{f'; {servers}' if servers else ''}")
    return [*lines, *(f"daemon: {_running(each)}" for each in found["daemons"])]


def _running(program: dict[str, Any]) -> str:
    state = f"pid {program['pid']}" if program["pid"] else "not running"
    return f"{for_people(shlex.join(program['arguments']))} ({state})"


def _processes(found: dict[str, Any], width: int) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    # On a narrow terminal the program is cut, and a long state: on two lines they would be hard to read.
    table.add_column("process", no_wrap=True)
    table.add_column("state", overflow="ellipsis", no_wrap=True, max_width=20 if width < _NARROW else None)
    table.add_column("program", overflow="ellipsis")
    for title in ("pid", "messages", "signals", "respawns", "uptime"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, program, each in _rows(found):
        counts = (str(each[key]) for key in ("pid", "messages", "signals", "respawns"))
        # Text: a program's name is no markup.
        style = _BAD if not each["pid"] or each["exceptions"] else None
        table.add_row(
            name,
            Text(_state(each, duration), style=style or ""),
            Text(for_people(program)),
            *counts,
            duration(each["uptime"]),
        )
    return table


def _state(process: dict[str, Any], told: Callable[[float], str]) -> str:
    if not process["pid"]:
        return str(process["state"])
    state = process["doing"] or process["state"]
    if "*" in process.get("paused", ()) and not process["doing"]:
        state = "paused"
    return f"{state} {told(process['since'])}"


def _home(spooler: dict[str, Any]) -> str:
    return f"{spooler['queue']}: {spooler['directory']}" if spooler["queue"] else str(spooler["directory"])


def _kind(worker: dict[str, Any]) -> str:
    return "app" if worker["launched"] else "attached"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _waiting(queue: dict[str, Any]) -> str:
    """A queue, how many frames wait, and for how long nothing has moved."""
    still = f", {duration(queue['oldest'])} without a move" if queue["oldest"] else ""
    return f"{queue['endpoint']} {queue['messages']}{still}"
