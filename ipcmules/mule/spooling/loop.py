"""The work of a spooler: which task is next, and when to sleep.

A task comes by its name in the directory's queue and is run at once, without a look at the directory. The
directory is read where the queue could not take all names (the cell D_LOOK), where somebody asks for it, and
at the frequency if it has changed. Several spoolers read it each for itself; who does not get a task's lock
goes on.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace

from ipcmules import log, table
from ipcmules.membership import Membership
from ipcmules.messages.spooled import SOON
from ipcmules.mule import dispatch
from ipcmules.mule.spooling.agenda import Agenda
from ipcmules.mule.spooling.journal import Journal
from ipcmules.mule.spooling.running import DONE, GONE, LATER, TAKEN, Outcome, Runner, Terms, tell
from ipcmules.mule.spooling.siblings import Siblings
from ipcmules.mule.spooling.waking import Waking
from ipcmules.spooler import claim
from ipcmules.spooler.attempts import DEFAULT
from ipcmules.spooler.hands import Hand
from ipcmules.spooler.store import Store

#: How often signals and the other spoolers are looked at between tasks, seconds.
_BETWEEN = 0.001
#: A directory whose modification time is younger than this may change without another time, seconds.
_TICK = 0.1
#: A look is never left out so often in a row, changed directory or not.
_MOST_SKIPPED = 20
#: As many files that were left alone are remembered.
_MOST_LEFT = 10_000
#: A wait so short was one of several, seconds.
_SOON = 0.001
#: With --spooler-cheap: how long a spooler stays that has nothing to do, seconds.
_LINGER = 1.0
#: How long to wait, without sleeping, for a file that is about to be written, seconds.
_COMES = 0.001
#: In place of the time of a change: somebody had the lock. To give it up changes no time.
_LOCKED = -1


class Loop:
    """One spooler's. number: that of its directory, from 1."""

    def __init__(self, member: Membership, number: int, waking: Waking) -> None:
        config = member.description.config
        directory = config.spooled[number - 1].directory
        #: Set by SIGTERM's handler: no other task is begun.
        self.stopping = False
        self._config = config
        self._pid = os.getpid()
        self._cells = member.table.cells
        self._table = member.table
        self._record = member.table.spooler(member.number)
        self._number = member.number
        self._task_cell = self._record + table.S_TASK
        self._count_cell = self._record + table.R_MESSAGES
        self._look_cell = member.table.spool(number) + table.D_LOOK
        self._missed_cell = member.table.spool(number) + table.D_MISSED
        self._waking = waking
        self._store = Store(directory, config.spooler_ordered)
        self._hand = Hand(self._store.path)
        self._terms = Terms(
            config.spooler_max_attempts,
            self._frequency(),
            config.spooler_chdir,
            config.spooler_harakiri,
        )
        self._runner = Runner(self._store, self._hand, self._terms)
        processes = config.spooler_processes
        self._agenda = Agenda(share=(member.number - 1) % processes, shares=processes)
        self._siblings = Siblings(member, number)
        self._journal = Journal(config.spooler_quiet)
        self._next_look = 0.0
        self._soon = False
        #: The task that comes next may still be being written.
        self._coming = False
        self._seen: tuple[int, float] = (0, 0.0)
        self._skipped = 0
        self._idle_since = 0.0
        self._done = 0
        self._most = config.spooler_max_tasks or 1 << 62
        self._missing = False
        #: Tasks that were not run, or not done, and when their inode changed last (st_ctime_ns) then: to
        #: close a file makes an event that brings its name here again, and only a change is news.
        self._left: dict[str, int] = {}

    def run(self) -> None:
        """Run tasks until the stop, or until enough have been run. SystemExit of a task goes on."""
        try:
            self._look()
            self._work()
        finally:
            if os.getpid() == self._pid:  # not in a child that a task forked
                self._hand.close()
                self._journal.close()

    def _work(self) -> None:
        between = 0.0
        while not self.stopping:
            now = time.monotonic()
            if now >= between:
                between = now + _BETWEEN
                self._see_others()
                continue
            if self._done >= self._most:
                self._cells[self._record + table.R_LEAVING] = table.LEAVES_BY_COUNT
                return
            name = self._agenda.next(time.time())
            if name is not None:
                self._run(name, True)
            elif (name := self._next()) is not None:
                self._run(name, False)
            elif not self.stopping:
                if not self._sleep():
                    return
                between = time.monotonic() + _BETWEEN  # what it woke for comes first

    # Between tasks

    def _see_others(self) -> None:
        """Signals, and the spoolers that sleep beside work."""
        while not self.stopping and (signal := self._waking.signal()) is not None:
            self._handle(signal)
        if self._agenda.ready():
            self._siblings.wake_one()
        self._journal.flush()

    def _handle(self, signal: int) -> None:
        dispatch.run_signal(signal)
        if self._config.spooler_signal_as_task:
            self._done += 1

    # Which is next

    def _next(self) -> str | None:
        """The next task to try where the agenda has none; None if there is nothing to do now."""
        if self._cells[self._look_cell] or self._agenda.incomplete:
            self._look()
            return self._agenda.next(time.time())
        while (told := self._waking.receive()) is not None:
            if not told or self._cells[self._look_cell]:  # what the queue did not take is older
                self._look()
                return self._agenda.next(time.time())
            if told[:1] == SOON:
                self._coming = True
                return told[1:].decode("utf-8", "surrogateescape")
            name = told.decode("utf-8", "surrogateescape")
            if name not in self._left or self._is_news(name):
                return name
        return None

    def _is_news(self, name: str) -> bool:
        """True if a task that was left alone may be another matter now."""
        before = self._left[name]
        return not self._is_locked(name) if before == _LOCKED else self._changed(name) != before

    def _is_locked(self, name: str) -> bool:
        try:
            return claim.running(f"{self._store.path}/{name}") != 0
        except OSError:
            return False  # it is gone, and trying to run it tells so

    def _changed(self, name: str) -> int:
        try:
            return os.lstat(f"{self._store.path}/{name}").st_ctime_ns
        except OSError:
            return 0

    def _look(self) -> None:
        """Read the directory."""
        self._cells[self._look_cell] = 0
        self._waking.drain()
        self._cells[self._missed_cell] = time.monotonic_ns()  # of these too, some may come after the look
        self._seen = self._version(), time.time()
        self._skipped = 0
        self._next_look = time.monotonic() + self._frequency()
        if self._runner.terms.frequency != self._frequency():
            self._runner.terms = replace(self._runner.terms, frequency=self._frequency())
        self._hand.renew()
        self._runner.renew()
        agenda = self._agenda
        known = len(agenda.later)
        try:
            found = self._store.scan(agenda.later)
        except OSError as error:
            if not self._missing:
                log.event("warning", f"spool directory {self._store.path} cannot be read: {error.strerror}")
            self._missing = True
            agenda.found([], (), False)
            return
        self._missing = False
        agenda.found(found.due, found.later, found.more)
        if not found.due and known and len(agenda.later) <= known:
            agenda.incomplete = False  # all that is more is later still
        self._siblings.say_hand(self._hand.prepare())
        if found.ours:
            self._store.sweep(found.ours)
            for death in self._store.deaths(found.ours):
                log.event(
                    "warning",
                    f"task {death.name}: pid {death.pid} died of it, {tell(death.verdict, DEFAULT)}",
                )
                if death.verdict.due:
                    agenda.put(death.name, death.verdict.due)

    def _version(self) -> int:
        try:
            return os.stat(self._store.path).st_mtime_ns
        except OSError:
            return 0

    def _look_if_changed(self) -> None:
        version, (seen, when) = self._version(), self._seen
        self._skipped += 1
        if version == seen and version / 1e9 < when - _TICK and self._skipped < _MOST_SKIPPED:
            self._next_look = time.monotonic() + self._frequency()
            return
        self._look()

    def _frequency(self) -> float:
        return float(self._cells[table.H_FREQUENCY] / 1e9)

    # Running

    def _run(self, name: str, seen: bool) -> None:
        cells = self._cells
        self._siblings.say_task(name)
        began = 0.0 if self._config.spooler_quiet else time.monotonic()
        try:
            outcome = self._run_when_there(name) if self._coming else self._runner.run(name, seen)
        finally:
            cells[self._task_cell] = 0
        if outcome[2]:  # ran: by place, as this is the loop that is to be short
            self._done += 1
            cells[self._count_cell] += 1
            self._idle_since = 0.0
        if outcome[0] is DONE:
            if began:
                self._journal.done(name, began)
            if self._left:
                self._left.pop(name, None)
            return
        if seen and not outcome[2] and not outcome[3] and outcome[0] is not LATER:
            self._agenda.missed()
        if outcome[0] is GONE:
            return
        self._skipped = _MOST_SKIPPED  # whoever has it may leave it
        if len(self._left) >= _MOST_LEFT:
            self._left.clear()
        if outcome[0] is TAKEN:
            self._left[name] = _LOCKED
            # What its writer's close has told of meanwhile was not heeded (SpoolDirs._in_hand).
            if not self._is_locked(name):
                self._agenda.put(name, time.time())
            return
        self._left[name] = self._changed(name)
        if outcome.what == LATER:
            self._agenda.put(name, outcome.when)
            if 0 < outcome.when - time.time() < self._frequency():
                self._siblings.tell_of_later()

    def _run_when_there(self, name: str) -> Outcome:
        """Run a task whose writer told of it before it wrote it. If it does not come at once, its writer
        tells of it again (messages/spooled.py)."""
        self._coming = False
        until = time.monotonic() + _COMES
        while (outcome := self._runner.run(name, True)).what is GONE:
            if time.monotonic() > until:
                self._cells[self._missed_cell] = time.monotonic_ns()
                return self._runner.run(name)
            os.sched_yield()
        return outcome

    # Sleeping

    def _sleep(self) -> bool:
        """Wait for something to do. False if this spooler is to end instead (--spooler-cheap)."""
        cells, record = self._cells, self._record
        cells[record + table.S_NEXT] = int(self._agenda.due() * 1e9)
        cells[record + table.R_CHANGED] = time.monotonic_ns()
        cells[record + table.R_STATE] = table.WAITING
        try:
            now = time.monotonic()
            # A sibling that saw this one busy did not wake it: once more, after the cell.
            if cells[self._look_cell] or self.stopping:
                return True
            if now >= self._next_look:
                self._look_if_changed()
                return True
            if self._config.spooler_cheap and self._rests(now):
                return False
            # A signal whose wake-up went with a killed taker is seen by who looks before it sleeps.
            signal = self._waking.signal()
            if signal is None:
                signal = self._waking.wait(self._patience(now), self._soon)
            # After a short wait the next one may be short too, and begins with a look or two (Waking).
            self._soon = time.monotonic() - now < _SOON
        finally:
            cells[record + table.R_CHANGED] = time.monotonic_ns()
            cells[record + table.R_STATE] = table.BUSY
        if signal is not None:
            self._handle(signal)
        return True

    def _patience(self, now: float) -> float:
        wait = self._next_look - now
        due = self._agenda.due()
        if due:
            wait = min(wait, due - time.time())
        if self._config.spooler_cheap:
            wait = min(wait, _LINGER)
        return wait

    def _rests(self, now: float) -> bool:
        self._idle_since = self._idle_since or now
        due = self._agenda.due()
        if now - self._idle_since < _LINGER or (due and due - time.time() < _LINGER):
            return False
        self._cells[self._record + table.R_LEAVING] = table.LEAVES_IDLE
        return True
