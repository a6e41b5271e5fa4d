"""Sending to a farm of the cluster or a mule of another host: to the carrier, or to the outbox on this disk.

Imported only where a bus belongs to a cluster. Knows membership and the way to the carrier.
"""

from __future__ import annotations

from collections.abc import Callable

from ipcmules.cluster import addresses, client, outbox
from ipcmules.errors import UnknownTarget
from ipcmules.kernel.exhaustion import importing
from ipcmules.member import membership
from ipcmules.member.membership import Membership


def sender(member: Membership, target: str | bytes) -> Callable[[bytes, float | None, int], bool] | None:
    """What sends to a farm of the cluster, or to an address: as Outbox.send(), and True means that the
    cluster stores it.

    None where the target is neither. Raises UnknownTarget for an address that cannot be.
    """
    farm = _name(target)
    if not _is_clustered(member, farm):
        return None

    def send(message: bytes, timeout: float | None, priority: int) -> bool:
        _check(farm, priority)
        return client.publish(member.where, farm, message, timeout, member.post.check_alive)

    return send


def send_on(
    member: Membership, farm: str | bytes, message: bytes, timeout: float | None, priority: int
) -> bool | None:
    """Send to a farm of the cluster without waiting for it; None where it is none. timeout: seconds, while
    too many are under way already.
    """
    name = _name(farm)
    if not _is_clustered(member, name):
        return None
    _check(name, priority)
    with importing:
        from ipcmules.cluster import pipeline

    post = member.post
    return pipeline.send(member.where, name, message, timeout, post.check_alive, post.keep)


def store_and_forward(target: int | str | bytes, message: bytes, priority: int) -> bool:
    """Store a message on this disk; the carrier sends it on. True: it is there, synced.

    Raises UnknownTarget for what is no farm of the cluster and no address, LimitError where the disk takes
    nothing.
    """
    member = membership.current()
    name = _name(target) if isinstance(target, (str, bytes)) else ""
    if not name or not _is_clustered(member, name):
        raise UnknownTarget(
            f"{target!r} is no farm of the cluster and no mule of another host, so a message to it is not "
            "stored and forwarded: leave store_and_forward out, add --cluster-farm NAME:1,2, or write 2@web1"
        )
    _check(name, priority)
    outbox.put(member.where, name, message, outbox.name())
    return True


def _name(target: str | bytes) -> str:
    name = target if isinstance(target, str) else target.decode("utf-8", "replace")
    return addresses.AT.join(addresses.split(name)) if addresses.AT in name else name


def _is_clustered(member: Membership, name: str) -> bool:
    config = member.description.config
    return bool(config.cluster) and (
        addresses.AT in name or any(each.name == name for each in config.cluster_farms)
    )


def _check(farm: str, priority: int) -> None:
    if priority:
        raise ValueError(
            f"priority={priority!r}: {farm!r} is the cluster's, whose messages have none: leave it out"
        )
