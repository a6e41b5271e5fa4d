"""`ipcmules tasks pause` and `resume`: have no further task begun of a spool directory, or of a function.

What is named and the cluster's is so on all hosts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ipcmules.cli import completing, tasks_found, tasks_of_cluster
from ipcmules.cli.target import bus_option
from ipcmules.errors import SpoolError
from ipcmules.kernel.printable import for_people
from ipcmules.spooler import directory, pauses


def _chosen(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.argument("place", metavar="[DIR|QUEUE]", required=False),
        click.option(
            "--function",
            metavar="NAME",
            help="Only the tasks of this function; by either name.",
            shell_complete=completing.functions,
        ),
        click.option("--dir", "given", metavar="DIR", help="This spool directory, without a bus."),
        bus_option,
    ):
        function = option(function)
    return function


@click.command()
@_chosen
def pause(place: str | None, given: str | None, function: str | None, bus: str | None) -> None:
    """Have no further task begun, of all or of one function.

    Those that run go on, and tasks can be enqueued. It holds for all buses of the directory, and over
    restarts, until `resume`. `status` shows it. A spooler of the cluster that is named is paused on all
    hosts; without a name this host's part of it is.
    """
    _change(place or given, function, bus, True)


@click.command()
@_chosen
def resume(place: str | None, given: str | None, function: str | None, bus: str | None) -> None:
    """Have tasks begun again that are paused: all but those of paused functions, or those of one."""
    _change(place or given, function, bus, False)


def _change(place: str | None, function: str | None, bus: str | None, paused: bool) -> None:
    found = tasks_found.directories(place, bus)
    if place is not None and tasks_of_cluster.is_one(found[0]):
        _say(function, f"{place} on all hosts", tasks_of_cluster.pause(found[0], function, paused), paused)
        return
    for each in tasks_of_cluster.run_here(found):
        directory.check(each)
        try:
            changed = pauses.change(each, function, paused)
        except OSError as error:
            raise SpoolError(f"what is paused of {each} cannot be written: {error.strerror}") from error
        _say(function, each, changed, paused)


def _say(function: str | None, where: str, changed: bool, paused: bool) -> None:
    what = f"the tasks of {for_people(function)} in " if function is not None else ""
    state = "paused" if paused else "resumed"
    state = state if changed else "paused already" if paused else "not paused"
    click.echo(f"{what}{for_people(where)}: {state}")
