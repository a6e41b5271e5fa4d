"""`ipcmules spool`: enqueue one task."""

from __future__ import annotations

import os
import sys
from datetime import datetime, timedelta

import click

from ipcmules.bus.config import BusConfig
from ipcmules.bus.liveness import is_alive
from ipcmules.bus.places import BUS_VARIABLE
from ipcmules.cli import completing
from ipcmules.cli.options import seconds
from ipcmules.cli.target import bus_option, bus_places, running
from ipcmules.errors import ConfigError, SpoolError, SpoolWriteError, UnknownTarget


@click.command()
@bus_option
@click.option(
    "--spooler",
    metavar="DIR|QUEUE",
    help="The spool directory [default: the first of the bus].",
    shell_complete=completing.queues,
)
@click.option(
    "--at", metavar="TIME", help="Not before: seconds since 1970, +SECONDS from now, or an ISO 8601 time."
)
@click.option("--priority", metavar="N", help="A number; lower ones come first.")
@click.option("--body", metavar="TEXT", help="The body; '-' takes what comes in on stdin, byte for byte.")
@click.argument("arguments", metavar="KEY=VALUE...", nargs=-1)
def command(
    bus: str | None,
    spooler: str | None,
    at: str | None,
    priority: str | None,
    body: str | None,
    arguments: tuple[str, ...],
) -> int:
    """Enqueue a task of these keys and values, and print the path of its file.

    Through the bus, whose spoolers start it at once; into --spooler DIR also where no bus is running.
    """
    task: dict[bytes, object] = dict(map(_pair, arguments))
    if spooler is not None:
        task[b"spooler"] = os.fsencode(os.path.abspath(spooler))
    if at is not None:
        task[b"at"] = _time(at)
    if priority is not None:
        task[b"priority"] = priority
    if body is not None:
        task[b"body"] = sys.stdin.buffer.read() if body == "-" else os.fsencode(body)
    try:
        click.echo(_enqueue(bus, task, spooler))
    except SpoolWriteError:
        raise
    except SpoolError as error:
        raise ConfigError(str(error)) from error  # wrong input: exit code 2
    return 0


def _enqueue(bus: str | None, task: dict[bytes, object], spooler: str | None) -> str:
    where = bus_places(bus)
    if b"spooler" not in task:
        running(bus)
    if is_alive(where):
        from ipcmules.bus import description
        from ipcmules.embed.attachment import attach

        found = description.load(where)
        if found is not None and _has(found.config, spooler):
            task[b"spooler"] = os.fsencode(spooler or "")
        try:
            with attach(where.bus) as attached:
                return attached.spool(task)
        except UnknownTarget:
            if b"spooler" not in task or bus is not None or os.environ.get(BUS_VARIABLE):
                raise
    # The directory is nobody's, or its bus does not run: the file waits for who takes it.
    from ipcmules.api import tasks

    return tasks.spool(task)


def _has(config: BusConfig, spooler: str | None) -> bool:
    """True for the name of a queue, or of a spooler of the cluster."""
    named = (*config.spoolers, *config.cluster_spoolers)
    return any(each.name == spooler for each in named if each.name)


def _pair(text: str) -> tuple[bytes, bytes]:
    key, equals, value = os.fsencode(text).partition(b"=")
    if not equals or not key:
        raise ConfigError(f"{text!r} is no argument: give KEY=VALUE")
    return key, value


def _time(text: str) -> object:
    if text.startswith("+"):
        return timedelta(seconds=seconds(text[1:]))
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"--at {text!r} is no time: give seconds since 1970, +SECONDS from now, or 2030-01-31T12:00"
        ) from None
