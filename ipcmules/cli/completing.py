"""What a shell offers for the values of options: buses that run here, and what the bus in question has."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

from ipcmules.bus.liveness import is_alive
from ipcmules.bus.places import BUS_VARIABLE, places, runtime_root
from ipcmules.errors import IpcMulesError

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def buses(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of running buses that begin so."""
    try:
        names = sorted(each for each in os.listdir(runtime_root()) if each.startswith(incomplete))
    except OSError:
        return []
    return [CompletionItem(each) for each in names if _runs(each)]


def _runs(name: str) -> bool:
    try:
        return is_alive(places(name))
    except (IpcMulesError, OSError):  # no bus at all, or somebody else's
        return False


def _of_bus(names: Callable[[str], Iterable[tuple[str, str]]]) -> Complete:
    """Names and what they are, of the bus that the command line means; names(bus) finds them."""

    def complete(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        above = ctx.parent.params.get("bus") if ctx.parent is not None else None
        bus = ctx.params.get("bus") or above or os.environ.get(BUS_VARIABLE) or "default"
        try:
            found = list(names(bus))
        except (IpcMulesError, OSError):
            return []  # there is no such bus, or it is somebody else's
        return [CompletionItem(name, help=text) for name, text in found if name.startswith(incomplete)]

    return complete


def _mules(bus: str) -> Iterable[tuple[str, str]]:
    from ipcmules.bus import description

    found = description.load(places(bus))
    programs = found.config.mules if found is not None else ()
    return [(str(number), str(each)) for number, each in enumerate(programs, 1)]


def _farms(bus: str) -> Iterable[tuple[str, str]]:
    from ipcmules.bus import description

    found = description.load(places(bus))
    return [(each.name, "") for each in found.config.farms] if found is not None else []


def _targets(bus: str) -> Iterable[tuple[str, str]]:
    yield "pool", "the first available mule"
    yield from ((f"mule{number}", text) for number, text in _mules(bus))
    yield from ((f"farm.{name}", "") for name, _text in _farms(bus))


def _functions(bus: str) -> Iterable[tuple[str, str]]:
    from ipcmules.snapshot import take

    return [(each.function, f"{each.done} done") for each in take(places(bus)).tasks.functions]


def _queues(bus: str) -> Iterable[tuple[str, str]]:
    from ipcmules.bus import description

    found = description.load(places(bus))
    spoolers = found.config.spoolers if found is not None else ()
    return [(each.name or each.directory, each.directory if each.name else "") for each in spoolers]


def _signals(bus: str) -> Iterable[tuple[str, str]]:
    from ipcmules.snapshot import take

    return [(str(each.number), each.handler) for each in take(places(bus), details=False).signals]


def _letters(bus: str) -> Iterable[tuple[str, str]]:
    from ipcmules.messages import kept

    return [(each.id, each.reason) for each in map(kept.header, kept.listing(places(bus))[:1000])]


def _events(bus: str) -> Iterable[tuple[str, str]]:
    from ipcmules.snapshot import take

    found = take(places(bus), events=True, details=False).events or ()
    return [(str(each.row["id"]), f"{each.schedule} {each.handler}".strip()) for each in found]


def states(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The states of tasks that begin so."""
    from ipcmules.spooler import peek

    return [CompletionItem(each) for each in (*peek.STATES, *peek.ENDED) if each.startswith(incomplete)]


mules, farms, targets = _of_bus(_mules), _of_bus(_farms), _of_bus(_targets)
functions, queues = _of_bus(_functions), _of_bus(_queues)
signals, letters, events = _of_bus(_signals), _of_bus(_letters), _of_bus(_events)
