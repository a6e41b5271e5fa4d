"""Tasks of the cluster as a caller sees them: written for it, and asked for by their handles, on any host.

Imported only where a bus has a spooler of the cluster. Knows membership and the way to the carrier.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import Any

from ipcmules.cluster import tasks
from ipcmules.cluster.tasks import ClusterAway
from ipcmules.errors import NotAttached, SpoolError, SpoolWriteError
from ipcmules.member import membership
from ipcmules.member.membership import Membership
from ipcmules.spooler import clustered, keyed, names, outcomes, standing
from ipcmules.spooler.attempts import Record
from ipcmules.spooler.clustered import ClusterWriter
from ipcmules.spooler.request import Request
from ipcmules.spooler.standing import Standing

#: Between two looks at a task that is to be cancelled, seconds.
_PAUSE = 0.05


def writer(member: Membership, spooler: str) -> ClusterWriter | None:
    """What writes tasks for a spooler of the cluster; None where it is none. '': the default, if that is
    one."""
    config = member.description.config
    called = spooler
    if not called:
        called = config.spooled[0].directory if config.spooled else ""
        if not config.spoolers:
            called = config.cluster_spoolers[0].name
    spool = tasks.named(config, called)
    if spool is None:
        return None
    mark = names.mark_of(member.description.generation)
    shown = tasks.shown(spool.name)
    return ClusterWriter(f"{spool.directory}/{tasks.OUT}", shown, config.spooler_fsync, mark)


def place(member: Membership, spooler: str) -> str:
    """What stands for the directory of a spooler of the cluster, '' where it is none."""
    spool = tasks.named(member.description.config, spooler)
    return "" if spool is None else tasks.shown(spool.name)


def places(member: Membership) -> list[str]:
    """The spool directories of a bus, with what stands for those of the cluster."""
    config = member.description.config
    ours = [each.directory for each in config.spoolers if tasks.named(config, each.directory) is None]
    return [*ours, *(tasks.shown(each.name) for each in config.cluster_spoolers)]


def spool_unique(shown: str, request: Request, function: str, key: str, until: str) -> str:
    """Have the cluster store a task, unless there is one of that key; its name, or that one's.

    Raises SpoolError, SpoolWriteError where the cluster does not answer: whether there is one only it can
    say.
    """
    clustered.check(request.head, request.body)
    name = clustered.keyed_name(keyed.digest(function, key))
    head = {"do": "task-unique", "of": _name(shown), "name": name, "until": until, "due": request.at / 1e9}
    try:
        found, _ = tasks.ask(_member().where, head, b"".join((request.head, request.body)))
    except ClusterAway as error:
        raise SpoolWriteError(
            errno.EIO,
            f"a task with the key {key!r} could not be enqueued, as only the cluster knows whether it is "
            f"new: {error}",
        ) from error
    if found["said"] != "stored":
        raise SpoolError(f"a task with the key {key!r} could not be enqueued: {found['why']}")
    return str(found["name"])


def standing_of(answer: dict[str, Any], data: bytes) -> Standing:
    """How a task stands, of the carrier's answer."""
    record = Record(**answer["record"])
    end = outcomes.parsed(data) if data else None
    if end is not None:
        return Standing(end.state, end=end)
    return Standing(answer["status"], answer["name"], 0, answer["due"], record)


def ask_standing(directory: str, name: str) -> tuple[Standing, dict[str, Any] | None]:
    """How a task stands, and how far it says it is. Raises ClusterAway (a TaskError), NotAttached."""
    head = {"do": "task", "of": _name(directory), "name": names.bare(name)}
    answer, data = tasks.ask(_member().where, head)
    if answer["said"] != "task":
        return Standing(standing.UNKNOWN), None
    found = standing_of(answer, data)
    progress = found.end.progress if found.end is not None else answer["progress"]
    return found, progress


def patient(look: Callable[[], Standing]) -> Standing:
    """How a task stands, for who waits for its end: while the cluster is away it is not over."""
    try:
        return look()
    except ClusterAway:
        return Standing(standing.WAITING)


def cancel(directory: str, name: str, grace: float | None) -> bool:
    """See Task.cancel(). A spooler that has it is asked, and never killed."""
    deadline = time.monotonic() + (grace or 0.0)
    head = {"do": "task-cancel", "of": _name(directory), "name": names.bare(name)}
    while True:
        answer, _ = tasks.ask(_member().where, head)
        if answer["said"] == "cancelled":
            return True
        found = ask_standing(directory, name)[0]
        if found.status in standing.OVER or time.monotonic() >= deadline:
            return found.status == outcomes.CANCELLED
        time.sleep(_PAUSE)


def _name(directory: str) -> str:
    return directory.removeprefix(tasks.SHOWN)


def _member() -> Membership:
    member = membership.find()
    if member is None or not member.description.config.cluster:
        raise NotAttached(
            "this process is on no bus that belongs to a cluster, which alone knows this task: start it by "
            "ipcmules, or name the bus (IPCMULES_BUS)"
        )
    return member
