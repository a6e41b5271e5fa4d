"""task(): the handle of a task that was enqueued before, by its ID or the path of its file.

Knows the spool directories of the bus, and handles.
"""

from __future__ import annotations

import os

from ipcmules.api.handles import CLUSTER, Task, clustered, handle
from ipcmules.errors import NotAttached
from ipcmules.kernel.undisturbed import undisturbed
from ipcmules.member import inlining


def task(id: str | bytes, spooler: str | bytes | None = None) -> Task:
    """The handle of a task that was enqueued before, perhaps by another process.

    id: a handle's .id, the path of the file, or an ID of `ipcmules tasks list`; a priority before it may be
        left out.
    spooler: the spool directory; without it that of the path, else those of the bus: the first in which
        something is known of it.

    A handle is returned in any case; its status may be unknown. Raises NotAttached for an ID on no bus,
    ValueError for what is no ID, TypeError for what is no text.
    """
    with undisturbed:
        from ipcmules.spooler import names, standing

    if isinstance(id, Task) and spooler is None:
        return id
    if not isinstance(id, (str, bytes, os.PathLike)):
        raise TypeError(f"task({id!r}): give a task's .id, or the path of its file, as str or bytes")
    text = os.fsdecode(id)
    where, name = text.rsplit("/", 1) if text.startswith(CLUSTER) and "/" in text else _parted(text)
    if not name or "\0" in text:
        raise ValueError(f"task({text!r}): give a task's .id, or the path of its file")
    if inlining.current is not None:
        ran: Task | None = inlining.current.find(text)
        if ran is not None:
            return ran
    if spooler is not None:
        where = _place(os.fsdecode(spooler))
    if where.startswith(CLUSTER):
        return handle(f"{where}/{names.bare(name)}", where)
    if where and ("/" in name or os.path.lexists(f"{where}/{name}")):
        return handle(f"{where}/{name}", where)
    places = [where] if where else _directories(text)
    for each in places:
        found = handle(f"{each}/{name}", each)
        if found.status() != standing.UNKNOWN:
            return found
    located = ((each, standing.locate(each, name)) for each in places)
    return next(
        (handle(f"{each}/{there}", each) for each, there in located if there != name),
        handle(f"{places[0]}/{name}", places[0]),
    )


def _parted(text: str) -> tuple[str, str]:
    """The spool directory that a path tells ("" for an ID), and the task's name in it ("" for no task)."""
    with undisturbed:
        from ipcmules.spooler import names

    *above, last = text.split("/")
    if not text.startswith("/") and all(map(names.is_priority, above)):
        bare = last if names.is_task(last) else names.TASK + last
        return "", "/".join((*above, bare)) if last else ""
    if not names.is_task(last):
        return "", ""
    directory = os.path.realpath(os.path.dirname(text))
    numbers: list[str] = []
    while names.is_priority(os.path.basename(directory)):
        directory, number = os.path.split(directory)
        numbers.insert(0, number)
    if os.path.basename(directory) == names.DEAD and not numbers:
        directory = os.path.dirname(directory)
    return directory, "/".join((*numbers, last))


def _place(spooler: str) -> str:
    """A spool directory by its path, or, on a bus, by its name."""
    with undisturbed:
        from ipcmules.member import membership

    member = membership.find()
    if member is not None and member.description.config.cluster_spoolers:
        found = str(clustered().place(member, spooler))
        if found:
            return found
    declared = () if member is None else member.description.config.spoolers
    named = next((each.directory for each in declared if each.name and each.name == spooler), "")
    return named or os.path.realpath(spooler)


def _directories(text: str) -> list[str]:
    with undisturbed:
        from ipcmules.member import membership

    member = membership.find()
    declared = [] if member is None else [each.directory for each in member.description.config.spoolers]
    if member is not None and member.description.config.cluster_spoolers:
        declared = clustered().places(member)
    if not declared:
        raise NotAttached(
            f"task({text!r}): this process is on no bus with a spooler: name the spool directory "
            "(spooler='/path'), or give the path of the task's file"
        )
    return declared
