"""Names for the ticks of events whose target is the cluster's: the same on every host, so that one of them
counts.

Each host has its own timers and crons, and raises at every tick; the cluster drops what comes under a name
that it knows. So there is no leader, and none has to be found where a host dies. Knows specs and the wall
clock.
"""

from __future__ import annotations

import hashlib
import math
import time

from ipcmules.bus.table import E_HANDLER, E_TARGET, Table
from ipcmules.events.specs import CronSpec, TimerSpec
from ipcmules.master.events.catalogue import Event


class TickNames:
    """Names of ticks; a timer's are numbered by the wall clock, as hosts began theirs at different times."""

    def __init__(self, table: Table) -> None:
        self._table = table
        #: By the digest of a timer: the number of its last tick, and where in its interval it ticks.
        self._last: dict[str, tuple[int, float]] = {}

    def of(self, event: Event, due: float) -> str | None:
        """The name of a tick that is due; None where ticks of other hosts have nothing to do with it.

        due: of a cron, seconds since the epoch.
        """
        spec = event.spec
        if isinstance(spec, CronSpec):
            return self._name(event, f"cron {spec.describe()} {spec.zone}", round(due))
        if isinstance(spec, TimerSpec) and spec.interval:
            return self._name(
                event, f"timer {spec.interval}", self._number(event.digest, spec.interval / 1e9)
            )
        return None

    def _number(self, digest: str, interval: float) -> int:
        """One more than that of the last tick, whatever the scheduler did; the clock's where that was set."""
        now = time.time() / interval
        last = self._last.get(digest)
        if last is not None and abs(now - (last[0] + 1 + last[1])) <= 0.5:
            self._last[digest] = last[0] + 1, last[1]
        else:
            self._last[digest] = math.floor(now), now - math.floor(now)
        return self._last[digest][0]

    def _name(self, event: Event, schedule: str, number: int) -> str:
        target = self._table.text(event.signal, E_TARGET)
        handler = self._table.text(event.signal, E_HANDLER)
        whole = f"{schedule}\n{target}\n{handler}\n{number}"
        return f"tick-{hashlib.sha256(whole.encode()).hexdigest()[:32]}"
