"""Tasks as text and as JSON. Bytes are shown as text where they are text; pickles are read, never loaded."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from ipcmules.kernel import times
from ipcmules.kernel.printable import for_people
from ipcmules.spooler import claim, peek, texts
from ipcmules.spooler.peek import Peek


def table(tasks: list[Peek]) -> None:
    """Print tasks, a line each."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    now = time.time()
    shown = Table(box=None, pad_edge=False)
    for title in ("state", "age", "due", "tries", "size"):
        shown.add_column(title, no_wrap=True, justify="left" if title == "state" else "right")
    shown.add_column("function", overflow="fold")
    shown.add_column("ID", no_wrap=True)
    for task in tasks:
        shown.add_row(
            task.state + (f" {_how_far(task)}" if task.progress and task.end is None else ""),
            duration(now - task.enqueued),
            duration(task.due - now) if task.due else "",
            str(task.record.attempts or ""),
            size(task.size),
            Text(_function(task)),
            Text((f"{task.priority}/" if task.priority else "") + for_people(task.id)),
        )
    # IDs are there to be copied: lines are as long as they must be.
    width = max(80, 60 + max(len(task.id) + len(task.priority) + len(_function(task)) for task in tasks))
    Console(highlight=False, width=width, soft_wrap=True).print(shown)


def _how_far(task: Peek) -> str:
    """How far a task says it is, "" if it says nothing."""
    said = task.progress
    if said is None:
        return ""
    return for_people(f"{said['done']}" + ("" if said["total"] is None else f"/{said['total']}"))


def _function(task: Peek) -> str:
    if task.problem:
        return "(no task)"
    return for_people(task.function) or "-"


def one(task: Peek) -> None:
    """Print what is known of a task."""
    now = time.time()
    lines = [
        ("file", for_people(task.path)),
        ("state", task.state + (f", pid {task.pid}" if task.pid > 0 else "") + _at(task)),
        ("enqueued", f"{when(task.enqueued)}, {duration(now - task.enqueued)} ago"),
        ("due", f"{when(task.due)}, in {duration(task.due - now)}" if task.due else ""),
        ("priority", task.priority),
        ("function", _function(task)),
        ("size", f"{task.size} bytes, {texts.body_size(task)} of them body"),
        ("problem", for_people(task.problem)),
        ("attempts", str(task.record.attempts or "")),
        ("SPOOL_RETRY", f"returned {task.record.returned} times" if task.record.returned else ""),
        ("last failure", when(task.record.time) if task.record.time else ""),
        ("reason", for_people(task.record.reason)),
        ("progress", _progress(task)),
    ]
    if task.end is not None:
        lines += [
            ("ended", when(task.end.time)),
            ("reason", for_people(task.end.reason)),
            ("result", texts.result(task.end) or ""),
        ]
    for title, text in lines:
        if text:
            click.echo(f"{title}: {text}")
    if task.state == peek.RUNNING and not task.arguments:
        click.echo("arguments: this process has it, and does not look")
    if task.arguments:
        click.echo("arguments:")
        for name, text in texts.arguments(task).items():
            click.echo(f"  {name} = {text}")
    if task.record.traceback:
        click.echo(f"\n{for_people(task.record.traceback.rstrip(), lines=True)}")


def _progress(task: Peek) -> str:
    said = task.progress
    if said is None:
        return ""
    note = for_people(f": {said['note']}") if said["note"] else ""
    return f"{_how_far(task)}{note}"


def _at(task: Peek) -> str:
    return f", host {for_people(task.host)}" if task.host else ""


def body(task: Peek) -> None:
    """Write a task's body to stdout, byte for byte."""
    if task.data:
        sys.stdout.buffer.write(task.data[task.body :])
        sys.stdout.buffer.flush()
        return
    if claim.is_held(task.path):
        return
    with open(task.path, "rb") as file:
        file.seek(task.body)
        while part := file.read(1 << 20):
            sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()


def counts(counted: list[dict[str, Any]]) -> None:
    """Print what tasks_found.count() counted."""
    if not counted:
        click.echo("no tasks")
    for place in counted:
        click.echo(f"{for_people(place['directory'])}: {size(place['bytes'])} bytes{_oldest(place)}")
        rows = [("all", place["states"]), *sorted(place["functions"].items())]
        for name, states in rows:
            told = ", ".join(f"{number} {state}" for state, number in states.items() if number)
            click.echo(f"  {for_people(name) or '(no decorated function)'}: {told}")
        if place["malformed"]:
            click.echo(f"  no tasks, so far: {place['malformed']}")


def _oldest(place: dict[str, Any]) -> str:
    oldest = place["oldest_queued"]
    return f", the oldest waits for {duration(oldest)}" if oldest else ""


def when(seconds: float) -> str:
    """A time for people."""
    try:
        return times.local(seconds)
    except (OverflowError, ValueError, OSError):
        return f"{seconds:.0f}"


def duration(seconds: float) -> str:
    """A length of time for people, in its largest unit."""
    seconds = max(0.0, seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:.0f}s"


def size(number: float) -> str:
    """A number of bytes for people."""
    for unit in ("", "K", "M", "G"):
        if number < 10_000:
            return f"{number:.0f}{unit}"
        number /= 1024
    return f"{number:.0f}T"
