"""What there is of a bus, living or not: found by its description, else by the names its objects have.

Reads only. Names of kernel objects carry the user's id and a digest of the runtime directory: what is found
here is this user's, or pretends to be, and belongs to this runtime directory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace

import posix_ipc

from ipcmules.bus import description as descriptions
from ipcmules.bus import liveness
from ipcmules.bus.config import BusConfig, Program
from ipcmules.bus.description import Description, QueueSpec
from ipcmules.bus.places import NAME, Places, places, runtime_root, state_root
from ipcmules.errors import AccessError
from ipcmules.kernel import processes
from ipcmules.master.objects import objects
from ipcmules.messages import large

_SHM = "/dev/shm"
_QUEUES = "/dev/mqueue"
#: What stands behind the bus's name in the names of its segments.
_SEGMENT = re.compile(
    r"(.+?)\.(?:table|inflight|counters|ring|areas|c\.[\w-]+\.mdb(?:-lock|-use)?"
    r"|lanes(?:\.\d+\.\d+\.\d+\.\d+(?:-\d+\.new)?)?"
    r"|m\.(?:new\.)?\d+\.\d+\.\d+(?:\.[ca]\d+)?|k\.(?:new\.)?\d{20}-\d+-\d{6}\.msg)\Z"
)
_QUEUE = re.compile(r"(.+?)\.q\.(?:pool|mule\d+|farm\..+|spool\.\d+)\Z")
#: A mule number further than this from the last queue found is not looked for.
_GAP = 64


def names() -> set[str]:
    """Names of the buses of this runtime directory, living ones too, of which anything can be found."""
    found: set[str] = set()
    for name in names_in(runtime_root()):
        found.add(name[: -len(".lock")] if name.endswith(".lock") else name)
    for directory, pattern in ((_SHM, _SEGMENT), (_QUEUES, _QUEUE)):
        found |= _named_by(directory, pattern)
    for name in names_in(state_root()):
        if NAME.match(name) and os.path.isdir(large.directory(places(name))):
            found.add(name)
    return found


def of(where: Places, expected: Sequence[str] = ()) -> list[str]:
    """What there is of a bus: its kernel objects, files and directories, for people."""
    description = described(where, expected)
    found = [f"queue {each.name}" for each in description.queues if _queue_exists(each.name)]
    found += [f"shared memory /{name}" for name in _segments(where)]
    if description.semaphores:
        found.append(f"{len(description.semaphores)} semaphores")
    for path in (where.runtime, where.lock, large.directory(where)):
        if os.path.lexists(path):
            found.append(path)
    return found


def check_owners(where: Places) -> None:
    """Raise AccessError if a segment under the bus's names is another user's (open_queue looks at queues)."""
    for name in _segments(where):
        try:
            owner = os.stat(os.path.join(_SHM, name), follow_symlinks=False).st_uid
        except FileNotFoundError:
            continue
        if owner != os.geteuid():
            raise AccessError(
                f"shared memory /{name} belongs to uid {owner}, this process is uid {os.geteuid()}: "
                "have it removed"
            )


def described(where: Places, expected: Sequence[str] = ()) -> Description:
    """The bus's description; where it has none, one of what can be found by its predictable names.

    expected: endpoints to look for beside those that can be guessed. Raises FormatError if another version
    of ipcmules wrote the description: only that one knows what else belongs to the bus.
    """
    found = descriptions.load(where)
    if found is not None:
        return found if found.queues else replace(found, queues=objects.possible_queues(where, found.config))
    endpoints = _endpoints_found(where, expected)
    config = BusConfig(name=where.bus, mules=(Program(),) * _most_mules(endpoints))
    specs = tuple(QueueSpec(each, where.queue(each), 0, 0) for each in endpoints)
    return Description(config, 0, processes.ProcessId(0, 0), specs)


def _endpoints_found(where: Places, expected: Sequence[str]) -> list[str]:
    """Endpoints whose queues exist: listed where /dev/mqueue is mounted, else those that can be guessed."""
    prefix = where.queue("").lstrip("/")
    listed = [name[len(prefix) :] for name in names_in(_QUEUES) if name.startswith(prefix)]
    found = [each for each in listed if _QUEUE.match(f"x.q.{each}") and not _is_living(where, each)]
    if found:
        return sorted(found)
    others = dict.fromkeys(("pool", *(each for each in expected if not each.startswith("mule"))))
    found += [each for each in others if _queue_exists(where.queue(each))]
    number = last = 0
    while number < last + _GAP:
        number += 1
        if _queue_exists(where.queue(f"mule{number}")):
            found.append(f"mule{number}")
            last = number
    return found


def _is_living(where: Places, endpoint: str) -> bool:
    """True if a queue's name can be read as that of a living bus whose name begins with this one's."""
    parts = f"{where.bus}.q.{endpoint}".split(".q.")
    names = [".q.".join(parts[:count]) for count in range(2, len(parts))]
    return any(liveness.is_alive(places(name)) for name in names if NAME.match(name))


def _most_mules(endpoints: list[str]) -> int:
    numbers = [int(each[4:]) for each in endpoints if each.startswith("mule")]
    return max(numbers, default=0)


def _queue_exists(name: str) -> bool:
    try:
        posix_ipc.MessageQueue(name, 0, read=True, write=False).close()
    except posix_ipc.ExistentialError:
        return False
    except posix_ipc.Error:
        return True
    return True


def _prefix() -> str:
    """What the names of this user's kernel objects of this runtime directory begin with."""
    return places("x").kernel.lstrip("/")[: -len("x.")]


def _named_by(directory: str, pattern: re.Pattern[str]) -> set[str]:
    """Buses of this runtime directory that the names of objects in a directory tell of."""
    prefix, found = _prefix(), set()
    for name in names_in(directory):
        if name.startswith(prefix):
            match = pattern.match(name[len(prefix) :])
            if match and NAME.match(match[1]):
                found.add(match[1])
    return found


def _segments(where: Places) -> list[str]:
    """Names of a bus's segments."""
    prefix, start = where.kernel.lstrip("/"), len(_prefix())
    matches = [(name, _SEGMENT.match(name[start:])) for name in names_in(_SHM) if name.startswith(prefix)]
    return [name for name, match in matches if match and match[1] == where.bus]


def names_in(directory: str) -> list[str]:
    """A directory's names, sorted; none if it cannot be read."""
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []
