"""Writing a task of a cluster's spooler: into the directory from which the carrier publishes it.

It is the way of every task (enqueue.py), into a directory without numbered ones: the priority stands in the
task. Knows
what a task of the cluster may be; asks nobody.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from ipcmules.cluster.tasks import HAND, LEFT, TAKEN
from ipcmules.errors import SpoolError
from ipcmules.spooler import attempts, calls, claim, codec, names
from ipcmules.spooler.calls import SpoolFunction
from ipcmules.spooler.claim import Held, Refusal
from ipcmules.spooler.enqueue import Writer
from ipcmules.spooler.request import Request

#: The servers take messages of 1 MiB, of which headers with the last failure are part.
LARGEST = (1 << 20) - (1 << 15)
#: A task that is the only one of its key has that in its name: TASK~DIGEST~HOST_PID_...
_KEYED = re.compile(re.escape(names.TASK) + r"~([0-9a-f]{32})~", re.ASCII)


class ClusterWriter(Writer):
    """As Writer; the name of a task is the same on every host. shown: stands for the directory in handles."""

    def __init__(self, path: str, shown: str, fsync: bool, mark: str) -> None:
        super().__init__(path, fsync, mark=mark)
        self.shown = shown

    def put(
        self, head: bytes, body: bytes | memoryview = b"", at: int = 0, priority: str = "", name: str = ""
    ) -> str:
        """See Writer. Raises SpoolError too for what a task of the cluster cannot be."""
        check(head, body)
        return super().put(head, body, at, "", name)

    def put_at_once(self, request: Request) -> str:
        """See Writer."""
        check(request.head, request.body)
        return super().put_at_once(request._replace(priority=""))

    def put_many(self, requests: Sequence[Request], found: list[str]) -> bool:
        """See Writer."""
        for each in requests:
            check(each.head, each.body)
        return super().put_many([each._replace(priority="") for each in requests], found)


def check(head: bytes, body: bytes | memoryview) -> None:
    """Raise SpoolError for a task that cannot be the cluster's."""
    size = len(head) + len(body)
    if size > LARGEST:
        raise SpoolError(
            f"a task of {size} bytes is too large for the cluster, whose tasks have at most {LARGEST}: "
            "give it a reference, such as a path that all hosts see"
        )
    arguments, _end = codec.unpack(head)
    function = calls.find(dict(arguments))
    if function is not None:
        check_function(function)


def check_function(function: SpoolFunction) -> None:
    """Raise SpoolError for a function none of whose tasks can be the cluster's."""
    if function.manner is not None and function.manner.is_limited:
        raise SpoolError(
            f"{function.name}() has rate= or concurrency=, which count on one host only: no task of it "
            "can be the cluster's; enqueue it into a spooler of this host, or leave them out"
        )


def keyed_name(digest: str) -> str:
    """A new name for a task that is the only one of its key."""
    return f"{names.TASK}~{digest}~{names.new_name()[len(names.TASK) :]}"


def digest_in(name: str) -> str:
    """The digest of a task's key, '' for one without."""
    found = _KEYED.match(name)
    return found[1] if found else ""


def priority_of(data: bytes) -> str:
    """The priority that stands in a task, '' for none. Raises codec.Malformed."""
    arguments, _end = codec.unpack(data)
    found = arguments.get(b"priority", b"").decode("ascii", "replace")
    return found if names.is_priority(found) else ""


def set_aside(home: str) -> None:
    """Before a bus starts: what an ended one had from the cluster, and nobody runs, is not run here again.

    home: the directory of a spooler of the cluster. The carrier hands it back (carrier/tasks).
    """
    for name in os.listdir(f"{home}/{TAKEN}"):
        path = f"{home}/{HAND}/{name}"
        held = _locked(path)
        if held is None:
            continue
        try:
            os.rename(path, f"{home}/{LEFT}/{name}")
            attempts.remove(path)
        finally:
            claim.release(held)


def _locked(path: str) -> Held | None:
    held = claim.take(path)
    return None if isinstance(held, Refusal) else held
