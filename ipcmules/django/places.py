"""Where a project's tasks are: the spool directories of the bus, and those that TASKS names.

Knows Django's settings, and membership only to ask.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from ipcmules.api import tasks as spooling
from ipcmules.member import membership
from ipcmules.member.membership import Membership

#: In OPTIONS: a directory, or one for each queue.
OPTION = "spooler"
#: When a process on no bus looked for one last (time.monotonic()), and how often it does, seconds.
_looked = -1e9
_LOOK_EVERY = 1.0
#: The directories of queues on the bus that this process was on last; of "" its first.
_remembered: dict[str, str] = {}


def _member() -> Membership | None:
    """This process's place on a bus. To look for one takes milliseconds: once a second will do."""
    global _looked
    member, now = membership.peek(), time.monotonic()
    if member is not None and not member.ended():
        return member
    if now - _looked < _LOOK_EVERY:
        return None
    found = membership.find()
    if found is None or found.ended():
        _looked = now
        return None
    return found


def spooler_of(queue: str, option: Any) -> str:
    """What spool() is told for a queue: the bus's spooler of that name, else what OPTIONS says, else "" (the
    bus's first). What OPTIONS says is not for a bus that has no such directory.

    A process that outlives its bus (a web server over a restart) goes on with the directories of before.
    Raises UnknownTarget for a bus without a spooler.
    """
    member = _member()
    if isinstance(option, Mapping):
        option = option.get(queue, option.get("default", ""))
    path = str(os.path.abspath(option)) if option else ""
    if member is None:
        return path or _remembered.get(queue) or _remembered.get("", "")
    spoolers = member.description.config.spoolers
    for each in spoolers:
        if each.name == queue:
            _remembered[queue] = each.directory
            return queue
    if path and os.path.realpath(path) in [each.directory for each in spoolers]:
        return path
    _remembered[""] = member.spools.resolve("")
    return ""


def of_backend(option: Any) -> list[str]:
    """The directories in which a backend's tasks may be; OPTIONS says the last of them."""
    member = _member()
    spoolers = () if member is None else member.description.config.spoolers
    found = [each.directory for each in spoolers] or list(_remembered.values())
    if spooling.default_directory:
        found.append(spooling.default_directory)
    named = option.values() if isinstance(option, Mapping) else [option] if option else []
    return list(dict.fromkeys([*found, *map(os.path.realpath, named)]))


def of_project() -> list[str]:
    """Those of the bus and of all backends in TASKS."""
    found = of_backend(None)
    for each in (getattr(settings, "TASKS", None) or {}).values():
        if str(each.get("BACKEND", "")).startswith("ipcmules.django."):
            found += of_backend((each.get("OPTIONS") or {}).get(OPTION))
    return list(dict.fromkeys(found))
