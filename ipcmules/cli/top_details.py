"""What `ipcmules top` shows of one process, or of a function's tasks, which are read and not taken."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from ipcmules.cli.shapes import cut, duration, number, size
from ipcmules.cli.top_lines import BAD, BUSY, DIM, PLAIN, TITLE, Line, program
from ipcmules.kernel import times
from ipcmules.kernel.printable import for_people
from ipcmules.snapshot import Snapshot
from ipcmules.snapshot.rates import Rates
from ipcmules.snapshot.values import Mule, Process, Spooler
from ipcmules.spooler import peek
from ipcmules.spooler.peek import Peek

#: So many tasks are looked at, and so many of them shown.
_LOOKED_AT, _SHOWN = 500, 50


def details(key: str, seen: Snapshot, rates: Rates, width: int) -> list[Line]:
    """The lines of what a line's key names: 'mule 3', 'spooler 1', 'task NAME'."""
    kind, _space, rest = key.partition(" ")
    if kind == "task":
        lines = _function(rest, seen, rates)
    else:
        chosen = next((each for each in seen.processes if each.name == key), None)
        lines = [Line(f"{key} is not there", BAD)] if chosen is None else _process(chosen, rates)
    return [each._replace(text=cut(each.text, width)) for each in lines]


def _process(each: Process, rates: Rates) -> list[Line]:
    rate = rates.of(each)
    doing = f"{each.doing} for {duration(each.doing_since)}" if each.kind else each.doing or "nothing"
    rows = [
        ("pid", str(each.pid or "not running")),
        ("state", f"{each.state} for {duration(each.since)}"),
        ("doing", doing),
        ("runs", f"{duration(each.uptime)}, started {each.respawns + 1} times"),
        ("memory", size(each.memory)),
        ("cpu", f"{duration(each.cpu)} in all, {rate.cpu * 100:.0f}% now"),
        (
            "messages",
            f"{each.messages} (of all: {each.all_messages}), {number(rate.messages)}/s",
        ),
        ("signals", f"{each.signals} (of all: {each.all_signals}), {number(rate.signals)}/s"),
        ("exceptions", f"{each.exceptions} (of all: {each.all_exceptions})"),
    ]
    if each.harakiri_in is not None:
        rows.append(("harakiri", f"in {duration(max(each.harakiri_in, 0.0))}"))
    if each.last_death:
        ago = duration(each.last_death_ago or 0.0)
        rows.append(("the last one", f"{each.last_death} {ago} ago"))
    if isinstance(each, Mule):
        rows += [("program", program(each)), ("farms", ", ".join(each.farms) or "none")]
    lines = [Line(each.name, TITLE), *(Line(f"{name:<13}{for_people(text)}") for name, text in rows)]
    # What it has in hand stands above what is known of the process: it may be long.
    return [*lines[:4], *_in_hand(each), *lines[4:]] if isinstance(each, Spooler) else lines


def _in_hand(each: Spooler) -> list[Line]:
    lines = [Line(f"{'directory':<13}{for_people(each.directory)}")]
    if each.paused:
        lines.append(Line(f"{'paused':<13}{for_people(', '.join(each.paused))}", BAD))
    task = peek.at(each.directory, each.task) if each.task else None
    return [*lines, Line("task in hand", TITLE), *_task(task), Line("process", TITLE)] if task else lines


def _task(task: Peek) -> list[Line]:
    lines = [
        Line(for_people(f"{task.id}: {task.function or 'no decorated function'}")),
        Line(f"enqueued {times.local(task.enqueued)}, {task.size} bytes, pid {task.pid}"),
    ]
    if task.record.attempts:
        lines.append(Line(for_people(f"failed {task.record.attempts} times: {task.record.reason}"), BAD))
    if task.progress:
        lines.append(Line(for_people(f"progress: {task.progress}"), BUSY))
    for name, value in sorted(task.arguments.items()):
        shown = value[:200].decode("utf-8", "backslashreplace")
        lines.append(Line(for_people(f"  {name.decode('utf-8', 'replace')} = {shown}"), DIM))
    return lines


def _function(name: str, seen: Snapshot, rates: Rates) -> list[Line]:
    found = next((each for each in seen.tasks.functions if each.function == name), None)
    lines = [Line(for_people(f"tasks of {name}"), TITLE)]
    if found is not None:
        rate = number(rates.functions.get(name, 0.0))
        lines += [
            Line(
                f"{found.done} done, {found.failed} failed, {found.killed} killed, "
                f"{found.dead} dead, {rate}/s"
            ),
            Line(
                f"half within {duration(found.quantile(0.5))}, 95% within {duration(found.quantile(0.95))}, "
                f"99% within {duration(found.quantile(0.99))}, the longest {duration(found.longest)}"
            ),
        ]
    lines += [Line(""), Line("state      attempts  enqueued             task", TITLE)]
    tasks = list(itertools.islice(_tasks(name, seen), _SHOWN))
    for each in tasks:
        text = f"{each.state:<10} {each.record.attempts:>8}  {times.local(each.enqueued)}  {each.id}"
        style = BAD if each.state == peek.DEAD else BUSY if each.state == peek.RUNNING else PLAIN
        lines.append(Line(for_people(text), style))
    return lines if tasks else [*lines, Line("none is there", DIM)]


def _tasks(name: str, seen: Snapshot) -> Iterator[Peek]:
    for place in seen.tasks.directories:
        try:
            for found in (peek.waiting(place.path), peek.buried(place.path)):
                looked_at = itertools.islice(found, _LOOKED_AT)
                yield from (each for each in looked_at if each.function == name)
        except OSError:
            continue  # removed while we look
