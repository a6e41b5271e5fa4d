"""What has tasks come by themselves in a spooler: of its directory, or of its spooler of the cluster.

Knows the options and the functions of the app.
"""

from __future__ import annotations

from ipcmules.cluster.tasks import named
from ipcmules.kernel.exhaustion import importing
from ipcmules.member.membership import Membership
from ipcmules.spooler import calls
from ipcmules.spooler.schedules import Ticker, Ticks


def ticks(member: Membership, number: int) -> Ticks | None:
    """For a spooler of the directory of that number; None: nothing. They come where a call without `spooler`
    goes."""
    config = member.description.config
    found = calls.scheduled() if number == 1 else []
    if not found:
        return None
    directory = config.spooled[0].directory
    spool = named(config, directory)
    if spool is None:
        return Ticker(directory, found)
    with importing:
        from ipcmules.spooler.clustered_schedules import ClusterTicker, able

    # Another one than the first is not where such calls go: that one's hosts do it.
    found = able(found) if spool == config.cluster_spoolers[0] else []
    return ClusterTicker(member.where, spool.name, found) if found else None
