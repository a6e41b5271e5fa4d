"""The task that a spooler had in hand when it died: an attempt."""
from __future__ import annotations
from ipcmules.master.children import Child
from ipcmules.master.objects import Objects


def count(objects: Objects, child: Child) -> None:
    pass
