"""`ipcmules tasks`: look at the tasks of spool directories, run them again, drop them, pause them. No bus is
needed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

from ipcmules.cli import completing, progress, tasks_of_cluster
from ipcmules.cli import tasks_found as found_tasks
from ipcmules.cli import tasks_shown as shown
from ipcmules.cli.groups import Group
from ipcmules.cli.target import bus_option
from ipcmules.cli.tasks_found import Filter
from ipcmules.errors import ConfigError
from ipcmules.kernel.printable import for_people
from ipcmules.spooler import mending, names, peek, texts
from ipcmules.spooler.peek import Peek


class _Tasks(Group):
    """The group; `run`, which loads the app, `pause` and `resume` are modules of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), "pause", "resume", "run"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "run":
            from ipcmules.cli import tasks_run

            return tasks_run.command
        if cmd_name in ("pause", "resume"):
            from ipcmules.cli import tasks_paused

            return tasks_paused.pause if cmd_name == "pause" else tasks_paused.resume
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Tasks)
def command() -> None:
    """Show the tasks of spool directories, run them again, drop them, pause them.

    They work on the directory DIR (or --dir DIR), also where no bus runs. Without DIR they work on all
    directories of the bus. ID is what `list` shows, a part of it that no other task has, or a path.
    """


_STATES = (
    f"Only those that are {', '.join(peek.STATES)}; or those that have ended and whose end is kept: "
    f"{', '.join(peek.ENDED)}."
)


def _chosen(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which tasks are meant."""
    for option in reversed(
        (
            bus_option,
            click.option("--dir", "directory", metavar="DIR", help="This spool directory, without a bus."),
            click.option("--state", metavar="STATE", help=_STATES, shell_complete=completing.states),
            click.option(
                "--function",
                metavar="NAME",
                help="Only calls of this decorated function.",
                shell_complete=completing.functions,
            ),
            click.option("--older", metavar="AGE", help="Only those enqueued longer ago: 90, 30m, 2h, 1d."),
            click.option("--newer", metavar="AGE", help="Only those enqueued since."),
        )
    ):
        function = option(function)
    return function


def _named(function: Callable[..., Any]) -> Callable[..., Any]:
    """Tasks by ID, or with --all all that the filters leave."""
    function = click.argument("ids", metavar="[DIR] [ID]...", nargs=-1)(function)
    return click.option("--all", "everything", is_flag=True, help="All of them, or all the filters leave.")(
        _chosen(function)
    )


@command.command("list")
@_chosen
@click.option("--limit", type=int, default=1000, show_default=True, help="Show so many, 0 for all.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("place", metavar="[DIR]", required=False)
def list_(place: str | None, limit: int, as_json: bool, **which: str | None) -> None:
    """List tasks, the oldest first."""
    if limit < 0:
        raise ConfigError(f"--limit {limit}: give 0 or more")
    found, more = found_tasks.some(_all(place, which), limit)
    if as_json:
        click.echo(json.dumps([texts.as_json(each) for each in found], indent=2))
    elif found:
        shown.table(found)
    else:
        click.echo("no tasks")
    if more:
        print(f"ipcmules: there are more: --limit 0 shows all, {limit} are shown", file=sys.stderr)


@command.command()
@_chosen
@click.option("--body", is_flag=True, help="Print its body alone, byte for byte.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("ids", metavar="[DIR] ID", nargs=-1, required=True)
def show(ids: tuple[str, ...], body: bool, as_json: bool, **which: str | None) -> None:
    """Show one task: what is known of it, its arguments, its last traceback. No pickle is loaded."""
    place, ids = _split(ids)
    if len(ids) != 1:
        raise ConfigError(f"{len(ids)} IDs: give one ('ipcmules tasks list' shows them)")
    [found] = found_tasks.by_ids(ids, _all(place, which, ids))
    if body:
        shown.body(found)
    elif as_json:
        click.echo(json.dumps(texts.as_json(found, whole=True), indent=2))
    else:
        shown.one(found)


@command.command()
@_named
def retry(ids: tuple[str, ...], everything: bool, **which: str | None) -> int:
    """Have tasks run now: dead ones are tasks again, waiting ones don't wait; failures are forgotten.

    Exits with 1 if one could not be.
    """
    return _each(mending.retry, "to be run", ids, everything, which)


@command.command()
@_named
def drop(ids: tuple[str, ...], everything: bool, **which: str | None) -> int:
    """Remove tasks for good; one that is running is left. Exits with 1 if one could not be removed."""
    return _each(mending.drop, "dropped", ids, everything, which)


@command.command()
@_chosen
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("place", metavar="[DIR]", required=False)
def stats(place: str | None, as_json: bool, **which: str | None) -> None:
    """Count tasks by state and by function."""
    counted = found_tasks.count(_all(place, which))
    if as_json:
        click.echo(json.dumps(counted, indent=2))
    else:
        shown.counts(counted)


def _split(ids: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """A directory that stands first, or the one that paths of tasks tell, and the IDs."""
    if ids and os.path.isdir(ids[0]):
        return ids[0], ids[1:]
    paths = [os.path.realpath(each) for each in ids if "/" in each and os.path.isfile(each)]
    if not paths or len(paths) < len(ids):
        return None, ids
    places = {_spool_of(each) for each in paths}
    return (places.pop() if len(places) == 1 else None), tuple(paths)


def _spool_of(path: str) -> str:
    directory = os.path.dirname(path)
    while names.is_priority(os.path.basename(directory)) or os.path.basename(directory) == names.DEAD:
        directory = os.path.dirname(directory)
    return directory


def _all(place: str | None, which: dict[str, str | None], ids: tuple[str, ...] = ()) -> Iterator[Peek]:
    """The tasks that the options mean."""
    if place is not None and which["directory"] is not None and place != which["directory"]:
        raise ConfigError(f"two directories, {place!r} and --dir {which['directory']!r}: give one")
    wanted = Filter.of(which["state"], which["function"], which["older"], which["newer"], _parts(ids))
    directories = found_tasks.directories(place or which["directory"], which["bus"])
    return found_tasks.tasks(directories, wanted)


def _parts(ids: tuple[str, ...]) -> tuple[str, ...]:
    """What must stand in the names of the files: of paths the last part."""
    return tuple(os.path.basename(each) for each in ids)


def _action(action: Callable[[Peek], str], task: Peek) -> Callable[[Peek], str]:
    """What does that to a task: one of the cluster has no file."""
    if not tasks_of_cluster.is_one(task.directory):
        return action
    return tasks_of_cluster.retry if action is mending.retry else tasks_of_cluster.drop


def _each(
    action: Callable[[Peek], str],
    what: str,
    ids: tuple[str, ...],
    everything: bool,
    which: dict[str, str | None],
) -> int:
    place, ids = _split(ids)
    narrowed = any(which[key] is not None for key in ("state", "function", "older", "newer"))
    if bool(ids) == (everything or narrowed):
        raise ConfigError("give IDs ('ipcmules tasks list' shows them), or filters, or --all")
    candidates = _all(place, which, ids)
    tasks = found_tasks.by_ids(ids, candidates) if ids else list(candidates)
    done = 0
    with progress.shown(what, lambda: f"{done} of {len(tasks)}"):
        for task in tasks:
            problem = _action(action, task)(task)
            done += not problem
            if problem:
                print(f"ipcmules: {for_people(f'{os.path.basename(task.name)}: {problem}')}", file=sys.stderr)
    failed = len(tasks) - done
    click.echo(f"{done} task{'' if done == 1 else 's'} {what}" + (f", {failed} not" if failed else ""))
    return 1 if failed else 0
