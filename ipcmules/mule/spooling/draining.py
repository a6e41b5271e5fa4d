"""Running what is in a spool directory in this process, without a bus: `ipcmules tasks run`.

A spooler's way with one task (running.py) and no more: no queue, no signals, no master.
"""

from __future__ import annotations

import time
from collections import Counter

from ipcmules.mule.spooling.running import DONE, LATER, Outcome, Runner, Terms
from ipcmules.spooler.hands import Hand
from ipcmules.spooler.store import Store

#: How tasks are counted. AGAIN is SPOOL_RETRY and SPOOL_IGNORE; DEAD are those that failed for the last time;
#: LEFT are those without a function here, and files that may still be written.
DID, AGAIN, FAILED, DEAD, LEFT = "done", "for later", "failed", "given up", "left alone"


class Drain:
    """Runs the tasks of one directory. Set `stopping` to have run_due() return after the task in hand."""

    def __init__(self, store: Store, terms: Terms) -> None:
        self.counts: Counter[str] = Counter()
        self.stopping = False
        #: When the next task is due, of those that were not; seconds since 1970, 0.0 for none.
        self.next_due = 0.0
        self._store = store
        self._hand = Hand(store.path)
        self._runner = Runner(store, self._hand, terms)
        #: When to look again at tasks that were left alone.
        self._left: dict[str, float] = {}

    def run_due(self) -> None:
        """Run what is due, until nothing is. Raises OSError where the directory cannot be read."""
        self.next_due = 0.0
        while not self.stopping:
            now = time.time()
            self._left = {name: when for name, when in self._left.items() if when > now}
            found = self._store.scan(self._left)
            self._store.sweep(found.ours)
            self._store.deaths(found.ours)
            for when in (*self._left.values(), *(when for when, _name in found.later)):
                self._look_at(when)
            if not self._run_all(found.due) and not found.more:
                return

    def close(self) -> None:
        """This process has nothing in hand any more."""
        self._hand.close()

    def _run_all(self, names: list[str]) -> bool:
        """Run these; False if none of them was run."""
        any_run = False
        for name in names:
            if self.stopping:
                break
            outcome = self._run(name)
            any_run = any_run or outcome.ran
            self._count(outcome)
            if outcome.what == LATER:
                self._look_at(outcome.when)
                if not outcome.failed:
                    self._left[name] = outcome.when
        return any_run

    def _run(self, name: str) -> Outcome:
        try:
            return self._runner.run(name)
        except SystemExit:  # asks for the end of a spooler, and this is none; the attempt is counted
            return Outcome(LATER, time.time(), True, True)

    def _look_at(self, when: float) -> None:
        self.next_due = min(self.next_due or when, when)

    def _count(self, outcome: Outcome) -> None:
        if outcome.what == DONE:
            self.counts[DID] += 1
        elif outcome.failed:
            self.counts[FAILED if outcome.what == LATER else DEAD] += 1
        elif outcome.what == LATER:
            self.counts[AGAIN if outcome.ran else LEFT] += 1
