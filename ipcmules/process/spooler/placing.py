"""Where the parts of a spooler's chains and groups are: in its directory, or in the cluster.

Knows which spoolers are the cluster's; what such a place does, others say (spooler/flow_places.py).
"""

from __future__ import annotations

from ipcmules.cluster import tasks
from ipcmules.kernel.exhaustion import importing
from ipcmules.member.membership import Membership
from ipcmules.spooler import flow_places


def place_flows(member: Membership, directory: str, path: str) -> None:
    """Say so for the spoolers of a directory. path: as its tasks know it."""
    spool = tasks.named(member.description.config, directory)
    if spool is None:
        return

    def opened(name: str, priority: str) -> flow_places.Place:
        with importing:
            from ipcmules.spooler.flow_cluster import ClusterPlace

        return ClusterPlace(member.where, spool.name, name, priority)

    flow_places.register(path, opened)
