"""A bus at this moment, as one value: what `status`, `top` and the exporters read.

Takes no lock, joins nothing, asks the master nothing (but for its events, where they are wanted), and
disturbs nobody. May know every room below the master's, and of the master how deaths are told. `Bus.status()`
gives it.
"""

from __future__ import annotations

from ipcmules.snapshot.taking import take as take
from ipcmules.snapshot.whole import Snapshot as Snapshot
