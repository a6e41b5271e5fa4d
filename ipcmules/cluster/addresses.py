"""Addresses: what of a bus other hosts can send messages to, written NAME@HOST. Knows configurations.

NAME is a mule's number, 0 for the pool, or a farm's name. The mules of --cluster-mules have one, and the pool
and a farm where all their mules do. None is had unasked: each is a consumer at the servers.
"""

from __future__ import annotations

from typing import NamedTuple

from ipcmules.bus.config import BusConfig
from ipcmules.errors import UnknownTarget

AT = "@"
#: The host that is none's name: where processes of every host share.
ANY, ALL = "any", "all"


class Address(NamedTuple):
    """endpoint: the queue on its host ('mule2', 'pool', 'farm.mail'). mules: who receives from it."""

    endpoint: str
    mules: tuple[int, ...]


def of(config: BusConfig) -> dict[str, Address]:
    """All addresses of a bus, by NAME."""
    mules = set(config.cluster_mules)
    found = {str(mule): Address(f"mule{mule}", (mule,)) for mule in sorted(mules)}
    everybody = tuple(range(1, len(config.mules) + 1))
    if mules and mules.issuperset(everybody):
        found["0"] = Address("pool", everybody)
    for farm in config.farms:
        if mules.issuperset(farm.mules) and farm.name not in found:
            found[farm.name] = Address(f"farm.{farm.name}", farm.mules)
    return found


def split(target: str) -> tuple[str, str]:
    """NAME and HOST of an address, checked. Raises UnknownTarget for what can be none."""
    from ipcmules.bus.places import check_name
    from ipcmules.errors import ConfigError

    name, _, host = target.partition(AT)
    if host in (ANY, ALL):
        raise UnknownTarget(
            f"{target!r} cannot be: a message goes to one mule of one host; what any host may take goes to a "
            "farm of the cluster (--cluster-farm NAME:1,2), what all are to do is a signal (mules@all)"
        )
    try:
        check_name(name, "mule or farm")
        check_name(host, "host")
    except ConfigError as error:
        raise UnknownTarget(f"{target!r} is no address: write 2@web1 or FARM@web1; {error}") from None
    return (str(int(name)) if name.isdecimal() and name.isascii() else name), host
