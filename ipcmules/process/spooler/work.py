"""The work of a spooler: which task is next, and when to sleep.

A task comes by its name in the directory's queue and is run at once, without a look at the directory. The
directory is read where the queue could not take all names (the cell D_LOOK), where somebody asks for it, and
at the frequency if it has changed. Several spoolers read it each for itself; who does not get a task's lock
goes on.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from ipcmules.bus import table
from ipcmules.member.membership import Membership
from ipcmules.process import database, dispatch
from ipcmules.process.spooler.agenda import Agenda
from ipcmules.process.spooler.burst import Burst
from ipcmules.process.spooler.holding import NEVER, PAUSED, Holding
from ipcmules.process.spooler.incoming import Incoming
from ipcmules.process.spooler.journal import Journal
from ipcmules.process.spooler.left import Left
from ipcmules.process.spooler.looking import Looking
from ipcmules.process.spooler.outcome import DONE, GONE, HELD, LATER, STARTED, TAKEN, Outcome, Terms
from ipcmules.process.spooler.pausing import Pausing
from ipcmules.process.spooler.placing import place_flows
from ipcmules.process.spooler.run import Run
from ipcmules.process.spooler.running import Runner
from ipcmules.process.spooler.siblings import Siblings
from ipcmules.process.spooler.ticking import ticks
from ipcmules.process.spooler.waking import Waking
from ipcmules.spooler import names
from ipcmules.spooler.figures import Recorder
from ipcmules.spooler.in_hand import Hand
from ipcmules.spooler.schedules import Ticks
from ipcmules.spooler.store import Store

if TYPE_CHECKING:
    from ipcmules.process.spooler.together import Together

#: How often signals and the other spoolers are looked at between tasks, seconds.
_BETWEEN = 0.001
#: For how long signals are handled at once while there are tasks, seconds.
_SIGNALS = 0.02
#: A wait so short was one of several, seconds.
_SOON = 0.001
#: While all is paused: how often signals, and whether it still is, are looked at, seconds.
_PAUSED = 0.1
#: With --spooler-cheap: how long a spooler stays that has nothing to do, seconds.
_LINGER = 1.0
#: Where as many coroutines run as may: how often signals are looked at, seconds.
_FULL = 0.05


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
        self._holding = Holding()
        self._ticker = ticks(member, number)
        self._pausing = Pausing(member, number, directory)
        self._waking = waking
        store = Store(directory, config.spooler_ordered)
        place_flows(member, directory, store.path)
        self._hand = Hand(store.path)
        terms = Terms(
            config.spooler_max_attempts,
            float(self._cells[table.H_FREQUENCY] / 1e9),
            config.spooler_chdir,
            config.spooler_harakiri,
        )
        #: What runs coroutines, several at once; None: they run as all others.
        self._together = _together(config.spooler_async, store.path)
        self._figures = Recorder(member.where.figures(member.number))
        self._runner = Runner(store, self._hand, terms, self._together, began=self._figures.begin)
        siblings = config.spoolers_of(number)
        order = names.order_key if config.spooler_ordered else None
        self._agenda = Agenda(share=siblings.index(member.number), shares=len(siblings), order=order)
        self._siblings = Siblings(member, number)
        self._looking = Looking(
            member, number, self._runner, self._hand, self._agenda, self._siblings, waking
        )
        self._left = Left(store.path)
        self._incoming = Incoming(
            member, number, config.spooler_ordered, waking, self._looking, self._left, self._agenda
        )
        self._burst = Burst(self._runner, self._siblings, self._figures)
        self._journal = Journal(config.spooler_quiet)
        self._soon = False
        self._idle_since = 0.0
        self._done = 0
        self._most = config.spooler_max_tasks or 1 << 62

    def stop(self) -> None:
        """This process is to end: begin no other task. Safe in a signal handler."""
        self.stopping = self._runner.stopping = True
        self._hand.tell()
        if self._together is not None:
            self._together.tell()

    def run(self) -> None:
        """Run tasks until the stop, or until enough have been run. SystemExit of a task goes on."""
        try:
            self._looking.look()
            self._work()
            while self._together:
                self._turn(self._looking.frequency())
        finally:
            if os.getpid() == self._pid:  # not in a child that a task forked
                if self._together is not None:
                    self._together.close()
                self._hand.close()
                self._journal.close()

    def _work(self) -> None:
        between = 0.0
        while not self.stopping:
            if time.monotonic() >= between:
                self._see_others()
                between = time.monotonic() + _BETWEEN
            if self._done >= self._most:
                self._cells[self._record + table.R_LEAVING] = table.LEAVES_BY_COUNT
                return
            if self._waits():
                continue
            if self._ticker is not None and self._ticker.next <= time.time():
                self._tick(self._ticker)
            self._incoming.gather()
            if (self._holding and self._run_held()) or self._run_many(between):
                continue
            name = self._agenda.next(time.time())
            if name is not None:
                if self._incoming.is_sorted and self._agenda.ready():  # nobody wakes for what it took
                    self._siblings.wake_one()
                self._run(name, self._agenda.looked)
            elif (name := self._incoming.next()) is not None:
                self._run(name, False)
            elif not self.stopping:
                if not self._sleep():
                    return
                between = time.monotonic() + _BETWEEN  # what it woke for comes first

    def _waits(self) -> bool:
        """Wait where no task is to be begun now. False where one may be."""
        if self.stopping:  # a signal's handler has asked for it
            return True
        if self._pausing.has_changed():
            self._read_pauses()
            return True
        if self._together is not None and self._together.is_full:
            self._turn(_FULL)
            return True
        return False

    # Between tasks

    def _see_others(self) -> None:
        """Signals, and the spoolers that sleep beside work."""
        until = time.monotonic() + _SIGNALS
        while not self.stopping and (signal := self._waking.signal()) is not None:
            self._handle(signal)
            if time.monotonic() >= until:
                break  # they come faster than they are handled: tasks have their turn
        if self._agenda.ready():
            self._siblings.wake_one()
        self._journal.flush()

    def _handle(self, signal: int) -> None:
        database.refresh()
        dispatch.run_signal(signal)
        database.refresh()
        if self._config.spooler_signal_as_task:
            self._done += 1

    # Running

    def _run(self, name: str, seen: bool) -> None:
        cells = self._cells
        self._siblings.say_task(name)
        try:
            outcome = self._runner.run(name, seen)
        except BaseException:
            cells[self._count_cell] += 1  # it was run, and asks for the end of the process
            self._figure(self._runner.last, None)
            raise
        finally:
            if not self._together:
                cells[self._task_cell] = 0
        if outcome[0] is STARTED:
            self._turn(0.0)
            return
        if seen and outcome[0] is not DONE and not outcome[2] and not outcome[3] and outcome[0] is not LATER:
            self._agenda.missed()
        self._heed(name, outcome, self._runner.last)

    def _turn(self, seconds: float, descriptor: int = -1) -> None:
        """Have the coroutines in hand go on, until one has ended or the stop comes, at most so long.

        descriptor: what else ends it, the stop too.
        """
        assert self._together is not None
        if descriptor < 0 and not self.stopping:
            descriptor = self._waking.told
        self._together.turn(seconds, descriptor)
        for run, outcome in self._runner.ended():
            if self._together:
                self._siblings.say_task(self._together.name())
            else:
                self._cells[self._task_cell] = 0
            self._heed(run.name, outcome, run)

    def _heed(self, name: str, outcome: Outcome, run: Run | None) -> None:
        """Of a task it is known what became of it. run: it, where it was run."""
        if outcome[2]:  # ran: by place, as this is the loop that is to be short
            self._done += 1
            self._cells[self._count_cell] += 1
            self._figure(run, outcome)
            self._idle_since = 0.0
        if self._runner.admission.freed is not None:
            self._give_back()
        if outcome[0] is DONE:
            if not self._config.spooler_quiet and run is not None:
                self._journal.done(name, run.details)
            self._left.forget(name)
        elif outcome[0] is not GONE:
            self._stays(name, outcome)

    def _figure(self, run: Run | None, outcome: Outcome | None) -> None:
        """A run has ended; outcome is None where its function asks for the end of the process."""
        if run is None or not run.figures:
            return
        figures, run.figures = run.figures, 0
        done, failed = (outcome[0] is DONE, outcome[3]) if outcome is not None else (False, True)
        dead = outcome is not None and failed and outcome[0] is TAKEN
        self._figures.end(figures, done, failed, dead, round((time.monotonic() - run.began) * 1e9))

    def _run_many(self, until: float) -> bool:
        """Run what is common of the last look, for a moment. False if that is nothing."""
        ready = self._agenda.plain(time.time())
        if not ready or not self._journal.is_full() or not self._burst.may_begin():
            return False
        burst, cells = self._burst, self._cells
        try:
            done = burst.run(ready, until, self._most - self._done)
        finally:
            cells[self._task_cell] = 0
        self._done += done
        cells[self._count_cell] += done
        self._journal.done_too(done)
        if done:
            self._idle_since = 0.0
        if burst.outcome is not None:
            self._heed(burst.name, burst.outcome, self._runner.last)
        return done > 0 or burst.outcome is not None

    def _run_held(self) -> bool:
        """Run one of the tasks that something held, if it may run now."""
        name = self._holding.next(time.time(), self._runner.admission.ask_again)
        if name is None:
            return False
        self._agenda.unhold(name)
        self._run(name, False)
        return True

    def _give_back(self) -> None:
        """The task that was run has given back a place: another may have it."""
        place, self._runner.admission.freed = self._runner.admission.freed, None
        assert place is not None
        self._holding.free_place(place)

    def _read_pauses(self) -> None:
        """Go on where that may be: as long as all is paused this waits."""
        self._pausing.read()
        while self._pausing.everything and not self.stopping:
            self._rest()
            self._pausing.read()
        self._runner.admission.paused = self._pausing.functions
        self._holding.free(lambda by: by.kind == PAUSED)

    def _rest(self) -> None:
        """All is paused. Signals are handled, and a stop is heard."""
        cells, record = self._cells, self._record
        cells[record + table.R_CHANGED] = time.monotonic_ns()
        cells[record + table.R_STATE] = table.WAITING
        until = time.monotonic() + self._looking.frequency()
        while not self.stopping and not self._pausing.has_changed():
            if self._together:
                self._turn(_PAUSED)
            else:
                self._waking.rest(_PAUSED)
            self._see_others()
            if time.monotonic() >= until:  # where the master is told of nothing (no inotify)
                self._pausing.forget()
        cells[record + table.R_CHANGED] = time.monotonic_ns()
        cells[record + table.R_STATE] = table.BUSY

    def _stays(self, name: str, outcome: Outcome) -> None:
        """A task is there still: it is somebody else's, or to be looked at again."""
        self._looking.expect_change()  # whoever has it may leave it
        if outcome[0] is TAKEN:
            self._left.note_locked(name)
            # What its writer's close has told of meanwhile was not heeded (SpoolDirs._in_hand).
            if not self._left.is_locked(name):
                self._agenda.put(name, time.time())
            return
        self._left.note(name)
        if outcome.what is HELD and outcome.by is not None:
            if self._holding.hold(name, outcome.by, outcome.when):
                self._agenda.hold(name, NEVER)
            else:
                self._agenda.put(name, time.time() + self._looking.frequency())
        elif outcome.what == LATER:
            when = outcome.when if outcome.by is None else self._runner.when_again(outcome)
            self._agenda.put(name, when)
            if 0 < outcome.when - time.time() < self._looking.frequency():
                self._siblings.tell_of_later()

    # Sleeping

    def _sleep(self) -> bool:
        """Wait for something to do. False if this spooler is to end instead (--spooler-cheap)."""
        cells, record = self._cells, self._record
        cells[record + table.S_NEXT] = int(self._due() * 1e9)
        cells[record + table.R_CHANGED] = time.monotonic_ns()
        cells[record + table.R_STATE] = table.WAITING
        try:
            now = time.monotonic()
            # A sibling that saw this one busy did not wake it: once more, after the cell.
            if self._incoming.must_look() or self.stopping:
                return True
            if now >= self._looking.next:
                self._looking.look_if_changed()
                return True
            if self._config.spooler_cheap and not self._together and self._rests(now):
                return False
            # A signal whose wake-up went with a killed taker is seen by who looks before it sleeps.
            signal = self._waking.signal()
            if signal is None and self._together is not None and self._together.goes_on:
                self._turn(max(0.0, self._patience(now)), self._waking.fileno())
            elif signal is None:
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
        wait = self._looking.next - now
        due = self._due()
        if due:
            wait = min(wait, due - time.time())
        if self._config.spooler_cheap:
            wait = min(wait, _LINGER)
        return wait

    def _due(self) -> float:
        """When the next task is due that is known here, 0.0 for none."""
        due = self._agenda.due()
        held = self._holding.due() if self._holding else 0.0
        ticks = self._ticker.next if self._ticker is not None else 0.0
        return min(filter(None, (due, held, ticks)), default=0.0)

    def _tick(self, ticker: Ticks) -> None:
        """Write the tasks that come by themselves now."""
        for name in ticker.tick(time.time()):
            self._agenda.put(name, time.time())

    def _rests(self, now: float) -> bool:
        self._idle_since = self._idle_since or now
        due = self._due()
        if self._looking.unread or now - self._idle_since < _LINGER or (due and due - time.time() < _LINGER):
            return False
        self._cells[self._record + table.R_LEAVING] = table.LEAVES_IDLE
        return True


def _together(most: int, directory: str) -> Together | None:
    """What runs so many coroutines at once; asyncio is for who asks for it."""
    if most < 2:
        return None
    from ipcmules.process.spooler.together import Together

    return Together(most, directory)
