"""Looking at the bus that this process is on. Knows membership and the snapshot."""

from __future__ import annotations

from ipcmules.member import membership
from ipcmules.snapshot import Snapshot, take


def status(*, events: bool = False) -> Snapshot:
    """The bus that this process is on, at this moment, as `ipcmules status` shows it; its to_json() is that.

    It takes no lock and asks nobody. events: have the master asked for its timers, crons and monitors; they
    are None where it does not answer within two seconds. Raises NotAttached in a process on no bus.
    """
    return take(membership.current().where, events=events)
