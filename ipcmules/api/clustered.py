"""Sending to a farm of the cluster: to the carrier, or to the outbox on this disk.

Imported only where a bus belongs to a cluster. Knows membership and the way to the carrier.
"""

from __future__ import annotations

from collections.abc import Callable

from ipcmules.cluster import client, outbox
from ipcmules.errors import UnknownTarget
from ipcmules.member import membership
from ipcmules.member.membership import Membership


def sender(member: Membership, target: str | bytes) -> Callable[[bytes, float | None, int], bool] | None:
    """What sends to a farm of the cluster: as Outbox.send(), and True means that the cluster stores it.

    None where the target is no farm of the cluster.
    """
    farm = _name(target)
    if not _is_clustered(member, farm):
        return None

    def send(message: bytes, timeout: float | None, priority: int) -> bool:
        _check(farm, priority)
        return client.publish(member.where, farm, message, timeout, member.post.check_alive)

    return send


def store_and_forward(farm: str | bytes, message: bytes, priority: int) -> bool:
    """Store a message on this disk; the carrier sends it on. True: it is there, synced.

    Raises UnknownTarget for what is no farm of the cluster, LimitError where the disk takes nothing.
    """
    member = membership.current()
    name = _name(farm)
    if not _is_clustered(member, name):
        raise UnknownTarget(
            f"farm {name!r} is no farm of the cluster, so a message to it is not stored and forwarded: "
            f"leave store_and_forward out, or add --cluster-farm {name}:1,2"
        )
    _check(name, priority)
    outbox.put(member.where, name, message, outbox.name())
    return True


def _name(farm: str | bytes) -> str:
    return farm if isinstance(farm, str) else farm.decode("utf-8", "replace")


def _is_clustered(member: Membership, name: str) -> bool:
    return any(each.name == name for each in member.description.config.cluster_farms)


def _check(farm: str, priority: int) -> None:
    if priority:
        raise ValueError(
            f"priority={priority!r}: farm {farm!r} is the cluster's, whose messages have none: leave it out"
        )
