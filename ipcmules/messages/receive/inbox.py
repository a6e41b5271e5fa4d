"""A mule's receiving side: which message a receive gets, and when it looks at what.

Knows queues, frames and the table. How it waits is waiting.py's, what is loaded and in hand handout.py's,
signals and the end listening.py's. Several threads may receive at once. What a thread has in hand stands in
the in-flight slots until its next receive.
"""

from __future__ import annotations

import os
from time import monotonic

from ipcmules.bus.description import Description
from ipcmules.bus.places import Places
from ipcmules.bus.table import (
    R_READER,
    R_URGENT,
    READS_OWN,
    READS_SHARED,
    Table,
)
from ipcmules.errors import NotAMule
from ipcmules.kernel import unpatched
from ipcmules.messages.receive.behind import NOTHING
from ipcmules.messages.receive.hand import Hand
from ipcmules.messages.receive.handout import LOOK, Handout
from ipcmules.messages.receive.intake import Intake
from ipcmules.messages.receive.listening import AT_ONCE, Dispatch, Listener
from ipcmules.messages.receive.records import next_record
from ipcmules.messages.receive.sources import EVERYTHING, FARMS, WANTS, Sources, Want, takes
from ipcmules.messages.receive.waiting import LONG, NONE, PENDING, Taker

#: After a message that was waited for, so many receives yield before they look.
ANSWERS = 64

#: For how long signals are handled at once while there are messages, seconds.
_SIGNALS = 0.02

_get_ident = unpatched.get_ident
_yield = os.sched_yield


class Inbox(Listener):
    """The receiving side of one mule. One a process."""

    def __init__(
        self, where: Places, description: Description, shared: Table, number: int, taker: Taker
    ) -> None:
        super().__init__(where, description, shared, number, taker)
        self._intake = Intake(self._boxes, self._behind, self._handout)
        self._hand_cells = self._handout.cells
        self._arrived = self._handout.arrived
        #: Whether lanes go before a source that epoll reports: every other time.
        self._lanes_turn = False
        #: Whether a shared queue is read at the next look between buffered messages: every other time.
        self._turn = False
        #: The queue that had the last message, and for which kind of receive.
        self._hot = NONE
        self._hot_want: Want | None = None
        #: Its last message came while this thread waited: so many more may be answers, which a yield brings.
        self._answers = 0
        #: The next message that is loaded already, or None: what a receive is to try first, then receive().
        self.next = self._handout.next
        #: Where mule_get_msg() does the same itself; None: nowhere.
        self.ready: Handout | None = self._handout

    # Receiving

    def get(self, timeout: float | None, signals: bool, farms: bool, dispatch: Dispatch) -> bytes | None:
        """The next message to this mule, the pool or (with farms) one of its farms.

        timeout in seconds: None waits for ever, 0 looks once. With signals, dispatch(number) is called for
        each signal that comes meanwhile. Returns None when the time is over. Raises SystemExit once stop()
        was called and nothing is left; a thread that calls again after that ends the process.
        """
        data = self.next(bool(signals and farms))
        return data if data is not None else self.receive(timeout, signals, farms, dispatch)

    def receive(self, timeout: float | None, signals: bool, farms: bool, dispatch: Dispatch) -> bytes | None:
        """As get(), for a caller that has tried next()."""
        want = EVERYTHING if signals and farms else WANTS[bool(signals), bool(farms)]
        return self._receive(want, timeout, dispatch)

    def get_farm(
        self, timeout: float | None, signals: bool, dispatch: Dispatch, name: str | None = None
    ) -> bytes | None:
        """The next message to one of this mule's farms, or to the named one. As get().

        Raises NotAMule if the mule is in no farm, or not in that one.
        """
        if name is not None and f"farm.{name}" not in self._boxes.by_name:
            raise NotAMule(f"mule {self._number} is not in farm {name!r}")
        if len(self._boxes.shared) < 2:
            raise NotAMule(f"mule {self._number} is in no farm")
        shared = FARMS if name is None else f"farm.{name}"
        return self._receive(Want(bool(signals), False, shared), timeout, dispatch)

    def _receive(self, want: Want, timeout: float | None, dispatch: Dispatch) -> bytes | None:
        if self._is_child:
            raise NotAMule("a process forked by a mule receives nothing: receive in the mule itself")
        handout, arrived = self._handout, self._arrived
        hand = self._hands.get(_get_ident()) or handout.hand()
        hand.look_at = 0.0  # if a handler raises, what is in hand comes before what next() gives
        if hand.want is not want:
            hand.want, hand.took_all, hand.position = want, want is EVERYTHING, None
        began = monotonic()
        deadline = None if timeout is None else began + timeout
        try:
            while True:
                left = hand.given is not None or hand.came or hand.won or handout.aside or arrived
                if not (left and self._take_left(want, hand)):
                    # What it held is done, as it receives again. Emptied first: an answer waits for it.
                    if handout.loaded or hand.reference is not None:
                        handout.done_with(hand)
                    else:
                        self._hand_cells[hand.ref] = 0
                    # Elsewhere than in next() this is for receives that do not take everything.
                    short = began < hand.until and began < self._hot_until and not handout.loaded
                    data = next_record(handout, hand) if short else None
                    if data is not None:
                        return data
                    if not self._look_around(want, hand, began, deadline, dispatch):
                        return None
                # From here on no call and no loop: what is in hand is returned, or a handler has received it.
                data, hand.given = hand.given, None
                if data is not None:
                    hand.look_at = hand.next_look
                    return data
        except BaseException:
            if self._is_child:
                self._end_child()
            handout.settle()
            raise

    def _look_around(
        self, want: Want, hand: Hand, began: float, deadline: float | None, dispatch: Dispatch
    ) -> bool:
        """Take a message from the queue that had the last one, or wait for one. False: the time is over."""
        hand.position = None
        if want is not self._hot_want or self._handout.loaded:
            return self._wait(want, hand, began, deadline, dispatch)
        if began < self._hot_until:
            # A partner on the same core can only answer if it runs: let it, then look, without epoll.
            if self._answers:
                self._answers -= 1
                _yield()
                now = monotonic()
                if now - began > LONG:
                    self._answers = 0
                    self._waiting.crowded(now)
            if self._intake.take(self._hot, hand):
                hand.next_look = min(hand.next_look, self._hot_until)
                return True
        elif want.signals:
            # The queue may have had messages for long: signals before epoll's turns.
            for descriptor in self._waiting.sources(want).ready_signals():
                self._take_signal(descriptor, hand, dispatch)
        return self._wait(want, hand, began, deadline, dispatch)

    def _take_left(self, want: Want, hand: Hand) -> bool:
        """What an interrupted receive has left comes first."""
        wanted = takes(want, self._boxes.numbers)
        handout = self._handout
        handout.settle()
        return handout.resume(hand, wanted) or bool(handout.aside and handout.take_aside(hand, wanted))

    def _wait(self, want: Want, hand: Hand, began: float, deadline: float | None, dispatch: Dispatch) -> bool:
        handout, waiting = self._handout, self._waiting
        while hand.given is None:
            if self._stopping:
                return self._take_stopping(hand, want, dispatch)
            sources = waiting.sources(want)
            if handout.loaded and want.own:
                if self._take_loaded(hand, sources, dispatch):
                    return True
                continue
            events = sources.poll(0, 1)
            descriptor = events[0][0] if events else NONE
            self._lanes_turn = not self._lanes_turn
            if self._behind.used and (not events or self._lanes_turn):
                behind = self._behind.ready(sources.queues)
                descriptor = descriptor if behind == NOTHING else behind
            waited = NONE
            if descriptor == NONE:
                descriptor = waited = waiting.wait(sources, hand, began, deadline)
            if descriptor == NONE:
                return False
            found = self._intake.take(descriptor, hand)
            now = monotonic()
            if found:
                if now >= waiting.tell_at:
                    waiting.tell(now)
                waiting.arrived(now - began)
                # Who had to sleep for it need not try at once next time: what answers him is not there yet.
                slept = descriptor == waited and not waiting.spun
                self._hot, self._hot_want = descriptor, None if slept else want
                self._answers = ANSWERS if waiting.spun and not events else 0
                self._hot_until = 0.0 if self._stopping else now + LOOK
                return True
            if self._take_other(descriptor, hand, dispatch) or handout.loaded:
                waiting.arrived(now - began)
                began = monotonic()
        return True

    # Taking from a source

    def _take_other(self, descriptor: int, hand: Hand, dispatch: Dispatch) -> bool:
        """See to a ready source that had no message. True if a signal was handled."""
        if descriptor in self._boxes.all or descriptor == self._waiting.stop:
            return False
        if descriptor == self._handout.wake:
            self._handout.rest_if_empty()
            return False
        if descriptor == PENDING:
            handled = [self._take_signal(each, hand, dispatch) for each, _ in self._taker.sources]
            return any(handled)
        return self._take_signal(descriptor, hand, dispatch)

    # Between buffered messages

    def _take_loaded(self, hand: Hand, sources: Sources, dispatch: Dispatch) -> bool:
        """Take the next loaded message, after a look at other sources if it is time; False: look again."""
        now = monotonic()
        if now >= hand.next_look:
            if self._glance(sources, hand, dispatch):
                return True
            if self._stopping:
                return False
            now = monotonic()
            hand.next_look = now + LOOK
        look = hand.next_look
        self._handout.take(hand)
        if hand.given is None and now < look and not self._handout.loaded:
            # It was the last one. What follows it in a lane comes without a look at other sources, while it
            # is not time for that.
            self._intake.take(self._boxes.own, hand)
        # 0 after a large one: its segment is to be removed.
        hand.next_look = 0.0 if self._stopping or hand.given is None else min(look, hand.next_look)
        return hand.given is not None

    def _glance(self, sources: Sources, hand: Hand, dispatch: Dispatch) -> bool:
        """Handle signals, and take one message that is more urgent or has its turn."""
        cells, urgent = self._cells, self._record + R_URGENT
        self._waiting.tell(monotonic())
        self._turn = not self._turn
        ready = sources.ready()
        behind = self._behind.ready(sources.shared_queues) if self._turn else NOTHING
        if behind != NOTHING and behind not in ready:
            ready.append(behind)
        for descriptor in ready:
            if descriptor not in self._boxes.all:
                until = monotonic() + _SIGNALS
                while self._take_signal(descriptor, hand, dispatch) and not self._stopping:
                    if monotonic() >= until:
                        break  # they come faster than they are handled: messages have their turn
            elif self._turn and not cells[urgent] and self._intake.take_shared(descriptor, hand):
                return True
        if cells[urgent]:
            self._intake.take_urgent(cells, urgent)
        return False

    # Stopping

    def _take_stopping(self, hand: Hand, want: Want, dispatch: Dispatch) -> bool:
        sources, handout = self._waiting.sources(want), self._handout
        while self._stopping < AT_ONCE:
            busy = False
            for descriptor in sources.signals:
                while self._take_signal(descriptor, hand, dispatch):
                    busy = True
            if want.own and handout.loaded:
                hand.next_look = 0.0
                handout.take(hand)
            for descriptor in sources.all:
                if hand.given is not None or self._intake.take(descriptor, hand):
                    hand.next_look = 0.0
                    return True
            if not busy and not (want.own and handout.loaded):
                break
        self._exit(hand)

    def after_fork(self) -> None:
        """In a child that user code forked: a receive that a signal handler forked in ends the child."""
        self._is_child = True
        self._stopping = AT_ONCE
        self._handout.loaded = []
        for hand in self._hands.values():
            hand.position = None
        self._waiting.after_fork()
        self._behind.after_fork()

    # Settings

    def set_shared(self, reads: bool) -> None:
        """Whether this mule reads the pool's and its farms' queues; senders see it in the table."""
        self._cells[self._record + R_READER] = READS_OWN | (READS_SHARED if reads else 0)
        self._waiting.set_shared(reads)
        self._hot_want = None
        for hand in list(self._hands.values()):
            hand.position = None

    def fileno(self) -> int:
        """A descriptor, readable when get(0, True, True, ...) may have something; until set_shared()."""
        self._waiting.is_polled = True
        return self._waiting.sources(EVERYTHING).fileno()
