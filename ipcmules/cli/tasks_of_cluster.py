"""Tasks of the cluster for `ipcmules tasks`: the same from every host that knows the spooler.

Knows the carrier's answers, and tasks as the commands have them (Peek).
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from ipcmules.bus.config import BusConfig
from ipcmules.bus.places import Places
from ipcmules.cluster import tasks
from ipcmules.cluster.tasks import HAND, OUT, TAKEN, ClusterAway
from ipcmules.errors import SpoolError
from ipcmules.kernel.printable import for_people
from ipcmules.spooler import codec, names, peek
from ipcmules.spooler.attempts import Record
from ipcmules.spooler.peek import Peek

#: So many are asked for at once.
_PART = 200


class ClusterPlace(str):
    """What stands for the directory of a spooler of the cluster. where: the bus whose carrier is asked."""

    __slots__ = ("where",)
    where: Places


def of(place: str, where: Places) -> ClusterPlace:
    """A place, by what stands for the directory."""
    made = ClusterPlace(place)
    made.where = where
    return made


def places(config: BusConfig, where: Places) -> list[str]:
    """The spool directories of a bus. For a spooler of the cluster: that, and what is on its way there."""
    found = [each.directory for each in config.spoolers if tasks.named(config, each.directory) is None]
    for each in config.cluster_spoolers:
        found += [of(tasks.shown(each.name), where), f"{each.directory}/{OUT}", f"{each.directory}/{HAND}"]
    return found


def is_hand(place: str) -> bool:
    """True for the directory of what the cluster has given to spoolers here: what is not dead there is told
    by it."""
    return _is_part(place, HAND)


def _is_part(place: str, part: str) -> bool:
    return place.endswith(f"/{part}") and os.path.isdir(f"{os.path.dirname(place)}/{TAKEN}")


def run_here(found: list[str]) -> list[str]:
    """Of places(), the directories whose tasks are run by spoolers of this bus."""
    ours = [each for each in found if not is_one(each) and not _is_part(each, OUT)]
    named = [each for each in found if is_one(each)]
    if len(named) == 1 and not ours:  # a spooler of the cluster by its name
        ours = [f"{os.path.dirname(each)}/{HAND}" for each in found if _is_part(each, OUT)]
    return ours


def is_one(place: str) -> bool:
    """True for a spooler of the cluster."""
    return isinstance(place, ClusterPlace)


def found(place: str, dead: bool, is_meant: Callable[[str], bool], whole: bool) -> Iterator[Peek]:
    """Its tasks that wait or run, or those that are dead, the oldest first; none, with a word on stderr,
    where it cannot be asked. whole: with all of their arguments.
    """
    assert isinstance(place, ClusterPlace)
    last = 0
    while True:
        try:
            answer = _ask(place, last, dead, _PART, "")
        except ClusterAway as error:
            print(f"ipcmules: tasks of {place} are not shown: {for_people(str(error))}", file=sys.stderr)
            return
        for each in answer["tasks"]:
            if not is_meant(each["name"]):
                continue
            yield _peek(place, _whole(place, each, dead) if whole else each, dead)
        last = answer["last"]
        if not last:
            return


def _whole(place: ClusterPlace, about: dict[str, Any], dead: bool) -> dict[str, Any]:
    if about["size"] == len(base64.b64decode(about["data"])):
        return about
    again = _ask(place, about["place"] - 1, dead, 1, about["name"])["tasks"]
    return again[0] if again else about


def _ask(place: ClusterPlace, after: int, dead: bool, most: int, name: str) -> dict[str, Any]:
    head = {"do": "task-list", "of": _name(place), "after": after, "dead": dead, "most": most, "name": name}
    answer, _ = tasks.ask(place.where, head)
    if answer["said"] != "tasks":
        raise ClusterAway(answer["why"])
    return answer


def _peek(place: ClusterPlace, about: dict[str, Any], dead: bool) -> Peek:
    data = base64.b64decode(about["data"])
    arguments: dict[bytes, bytes] = {}
    problem = ""
    try:
        arguments, _end = codec.unpack(data)
    except codec.Malformed as error:
        problem = str(error) if len(data) == about["size"] else ""
    state = peek.DEAD if dead else peek.RUNNING if about["host"] or about["begun"] else peek.QUEUED
    written = names.fifo_key(about["name"])
    scheduled = state == peek.QUEUED and about["due"] > 0
    return Peek(
        directory=place,
        name=f"{names.DEAD}/{about['name']}" if dead else about["name"],
        state=peek.SCHEDULED if scheduled else state,
        enqueued=(written or 0) / 1e6,
        due=about["due"] if scheduled else 0.0,
        size=about["size"],
        pid=0,
        arguments=arguments,
        body=about["body"],
        problem=problem,
        record=Record(**about["record"]),
        priority=about["priority"],
        host=about["host"],
        data=data,
    )


def retry(task: Peek) -> str:
    """See mending.retry."""
    return _do("task-retry", task)


def drop(task: Peek) -> str:
    """See mending.drop."""
    return _do("task-drop", task)


def _do(what: str, task: Peek) -> str:
    assert isinstance(task.directory, ClusterPlace)
    head = {"do": what, "of": _name(task.directory), "name": names.bare(task.name)}
    try:
        answer, _ = tasks.ask(task.directory.where, head | {"dead": task.state == peek.DEAD})
    except ClusterAway as error:
        return str(error)
    return str(answer["why"]) if answer["said"] == "refused" else ""


def _name(place: str) -> str:
    return place.removeprefix(tasks.SHOWN)


def pause(place: str, function: str | None, paused: bool) -> bool:
    """Pause a spooler of the cluster, or the tasks of a function in it, on all hosts, or resume them.

    False where it was so. Raises ClusterAway.
    """
    assert isinstance(place, ClusterPlace)
    name = place.removeprefix(tasks.SHOWN)
    head = {"do": "task-pause", "of": name, "function": function, "paused": paused}
    answer, _ = tasks.ask(place.where, head)
    if answer["said"] == "refused":
        raise SpoolError(f"spooler {name!r} of the cluster: {answer['why']}")
    return bool(answer["changed"])
