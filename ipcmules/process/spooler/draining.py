"""Running what is in a spool directory in this process, without a bus: `ipcmules tasks run`.

A spooler's way with one task (running.py) and no more: no queue, no signals, no master.
"""

from __future__ import annotations

import time
from collections import Counter

from ipcmules.bus import log
from ipcmules.process.spooler.outcome import DONE, HELD, LATER, Outcome, Terms
from ipcmules.process.spooler.running import Runner
from ipcmules.process.spooler.telling import tell_death
from ipcmules.spooler import pauses
from ipcmules.spooler.in_hand import Hand
from ipcmules.spooler.store import Store

#: How tasks are counted. AGAIN is SPOOL_RETRY and SPOOL_IGNORE; DEAD are those that failed for the last time;
#: LEFT are those without a function here, and files that may still be written.
DID, AGAIN, FAILED, DEAD, LEFT = "done", "for later", "failed", "given up", "left alone"


#: What is paused is looked at so often, seconds.
_BETWEEN = 0.1


class Drain:
    """Runs the tasks of one directory."""

    def __init__(self, store: Store, terms: Terms) -> None:
        self.counts: Counter[str] = Counter()
        self.stopping = False
        #: When the next task is due, of those that were not; seconds since 1970, 0.0 for none.
        self.next_due = 0.0
        self._store = store
        self._hand = Hand(store.path)
        self._runner = Runner(store, self._hand, terms)
        #: True while no task at all is to be begun; and when to look at that next (time.monotonic()).
        self._paused = False
        self._next_pauses = 0.0
        #: When to look again at tasks that were left alone.
        self._left: dict[str, float] = {}

    def stop(self) -> None:
        """Have run_due() return after the task in hand. Safe in a signal handler."""
        self.stopping = self._runner.stopping = True
        self._hand.tell()

    def run_due(self) -> None:
        """Run what is due, until nothing is. Raises OSError where the directory cannot be read."""
        self.next_due = 0.0
        while not self.stopping:
            now = time.time()
            self._left = {name: when for name, when in self._left.items() if when > now}
            found = self._store.scan(self._left)
            self._runner.say_refused(found.refused)
            self._store.sweep(found.ours)
            self._runner.sweep_results()
            for death in self._store.deaths(found.ours):
                log.event("warning", tell_death(death))
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
            if time.monotonic() >= self._next_pauses:
                self._read_pauses()
            if self.stopping or self._paused:
                break
            outcome = self._run(name)
            any_run = any_run or outcome.ran
            self._count(outcome)
            if outcome.what in (LATER, HELD):
                self._stays(name, outcome)
        return any_run

    def _read_pauses(self) -> None:
        found = pauses.read(self._store.path)
        self._paused = bool(found.everything)
        self._runner.admission.paused = frozenset(found.functions)
        self._next_pauses = time.monotonic() + _BETWEEN

    def _stays(self, name: str, outcome: Outcome) -> None:
        when = outcome.when
        if outcome.what == HELD:
            when = min(when, time.time() + self._runner.terms.frequency)
        elif outcome.by is not None:  # it waits for its parts; who ends the last one makes it due
            self._look_at(self._runner.when_again(outcome))
            return
        self._look_at(when)
        if not outcome.failed:
            self._left[name] = when

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
        elif outcome.what == HELD:
            self.counts[AGAIN] += 1
        elif outcome.what == LATER:
            self.counts[AGAIN if outcome.ran else LEFT] += 1
