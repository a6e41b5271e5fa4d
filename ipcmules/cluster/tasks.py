"""Tasks of the cluster as this host has them: directories, and questions about them to the carrier.

A spooler of the cluster has a directory here with four in it: `out`, tasks that are to go to the cluster;
`hand`, an ordinary spool directory with the tasks that the cluster has given to spoolers here; `taken`, a
file for each of those with its delivery; `left`, what an ended bus had in hand. Specified in
docs/formats-cluster.md. Knows places, files and the way to the carrier; nothing of what is in a task.
"""

from __future__ import annotations

import os
import time
from typing import Any

from ipcmules.bus.config import BusConfig
from ipcmules.bus.places import Places, private_directory
from ipcmules.cluster import client
from ipcmules.errors import TaskUnknown
from ipcmules.options.values import SpoolDir

OUT, HAND, TAKEN, LEFT = "out", "hand", "taken", "left"
#: What the directory of a handle begins with, in place of a path.
SHOWN = "cluster:"

#: The carrier answers within so many seconds, or the cluster is away.
_PATIENCE = 15.0
#: A carrier that is being started listens within so many seconds; it is asked so often meanwhile.
_START, _AGAIN = 5.0, 0.05


class ClusterAway(TaskUnknown):
    """Nobody can say how a task of the cluster stands: the carrier, or its servers, do not answer."""


def shown(name: str) -> str:
    """What stands for the directory of a spooler of the cluster: the same on every host."""
    return f"{SHOWN}{name}"


def is_shown(directory: str) -> bool:
    """True for what shown() gives."""
    return directory.startswith(SHOWN)


def named(config: BusConfig, spooler: str) -> SpoolDir | None:
    """The spooler of the cluster that a bus knows by that name, shown() name or directory; None for none."""
    for each in config.cluster_spoolers:
        if spooler in (each.name, shown(each.name), f"{each.directory}/{HAND}"):
            return each
    return None


def make(spool: SpoolDir) -> None:
    """Make what is missing of a spooler's directories. Raises AccessError."""
    missing = [spool.directory]
    while not os.path.isdir(os.path.dirname(missing[-1])):
        missing.append(os.path.dirname(missing[-1]))
    for each in reversed(missing):
        private_directory(each)
    for each in (OUT, HAND, TAKEN, LEFT):
        private_directory(f"{spool.directory}/{each}")


def ask(where: Places, head: dict[str, Any], body: bytes = b"") -> tuple[dict[str, Any], bytes]:
    """Ask the carrier about tasks. Raises ClusterAway where it, or the cluster, does not answer."""
    until = time.monotonic() + _START
    while True:
        try:
            found, data = client.ask(where, head, body, _PATIENCE)
            break
        except (FileNotFoundError, ConnectionError) as error:
            if time.monotonic() > until:
                raise _away(where, error) from error
            time.sleep(_AGAIN)
        except OSError as error:
            raise _away(where, error) from error
    if found["said"] == "away":
        raise ClusterAway(f"the cluster is away ({found['why']}): ask again when it is back")
    return found, data


def _away(where: Places, error: OSError) -> ClusterAway:
    return ClusterAway(f"the carrier of bus {where.bus!r} does not answer ({error}): is the bus running?")
