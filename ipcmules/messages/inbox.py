"""A mule's receiving side, and its wait loop for signals.

Knows queues, frames and the table; signals only as a taker that it is given and a function to call. How it
waits is waiting.py's, what is loaded and in hand handout.py's. Several threads may receive at once. What a
thread has in hand stands in the in-flight slots until its next receive.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from time import monotonic
from typing import NoReturn

import posix_ipc

from ipcmules import table
from ipcmules.description import Description
from ipcmules.errors import NotAMule
from ipcmules.messages import frames, post
from ipcmules.messages.boxes import Box, Boxes
from ipcmules.messages.hand import Hand
from ipcmules.messages.handout import LOOK, Handout
from ipcmules.messages.sources import FARMS, SIGNALS, WANTS, Sources, Want
from ipcmules.messages.waiting import LONG, NONE, PENDING, Taker, Waiting
from ipcmules.places import Places
from ipcmules.table import (
    R_LISTENING,
    R_MESSAGES,
    R_READER,
    R_STATE,
    R_URGENT,
    READS_OWN,
    READS_SHARED,
    Table,
)

_Busy = posix_ipc.BusyError
_SINGLE, _LARGE = frames.SINGLE, frames.LARGE
#: After a message that was waited for, so many receives yield before they look.
ANSWERS = 64

_get_ident = threading.get_ident
_yield = os.sched_yield
Dispatch = Callable[[int], None]

_EVERYTHING = WANTS[True, True]


class Inbox:
    """The receiving side of one mule. One a process."""

    def __init__(
        self, where: Places, description: Description, shared: Table, number: int, taker: Taker
    ) -> None:
        self._number = number
        self._taker = taker
        self._cells = shared.cells
        self._record = shared.mule(number)
        self._boxes = boxes = Boxes(where, description, number)
        self._own = boxes.own
        self._receive_own = boxes.receive_own
        self._handout = Handout(where, number, boxes.widest)
        self._hands = self._handout.hands
        self._hand_cells = self._handout.cells
        self._lock = self._handout.lock
        self._waiting = Waiting(boxes, taker, self._handout, shared, self._record, where.notify)
        self._stopping = 0
        #: Whether a shared queue is read at the next look between buffered messages: every other time.
        self._turn = False
        #: The queue that had the last message, for which kind of receive, and until when to try it first.
        self._hot = NONE
        self._hot_until = 0.0
        self._hot_want: Want | None = None
        #: Its last message came while this thread waited: so many more may be answers, which a yield brings.
        self._answers = 0
        #: The next message that is loaded already, or None: what a receive is to try first, then receive().
        self.next = self._handout.next

    # Receiving

    def get(self, timeout: float | None, signals: bool, farms: bool, dispatch: Dispatch) -> bytes | None:
        """The next message to this mule, the pool or (with farms) one of its farms.

        timeout in seconds: None waits for ever, 0 looks once. With signals, dispatch(number) is called for
        each signal that comes meanwhile. Returns None when the time is over. Raises SystemExit once stop()
        was called and nothing is left; a thread that calls again after that ends the process.
        """
        data = self.next()
        return data if data is not None else self.receive(timeout, signals, farms, dispatch)

    def receive(self, timeout: float | None, signals: bool, farms: bool, dispatch: Dispatch) -> bytes | None:
        """As get(), for a caller that has tried next()."""
        want = _EVERYTHING if signals and farms else WANTS[bool(signals), bool(farms)]
        handout = self._handout
        hand = self._hands.get(_get_ident()) or handout.hand()
        # What it held is done, as it receives again. In the common case emptied here: an answer waits for it.
        if not handout.loaded and hand.reference is None:
            self._hand_cells[hand.ref] = 0
        else:
            handout.done_with(hand)
        began = monotonic()
        if want is self._hot_want and not handout.loaded:
            if began < self._hot_until:
                # A partner on the same core can only answer if it runs: let it, then look, without epoll.
                if self._answers:
                    self._answers -= 1
                    _yield()
                    now = monotonic()
                    if now - began > LONG:
                        self._answers = 0
                        self._waiting.crowded(now)
                data = self._take_message(self._hot, hand)
                if data is not None:
                    return data
            elif want.signals:
                # The queue may have had messages for long: signals before epoll's turns.
                for descriptor in self._waiting.sources(want).ready_signals():
                    self._take_signal(descriptor, hand, dispatch)
        return self._receive(want, hand, began, None if timeout is None else began + timeout, dispatch)

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
        hand, now = self._handout.hand(), monotonic()
        self._handout.done_with(hand)
        deadline = None if timeout is None else now + timeout
        return self._receive(Want(bool(signals), False, shared), hand, now, deadline, dispatch)

    def _receive(
        self, want: Want, hand: Hand, began: float, deadline: float | None, dispatch: Dispatch
    ) -> bytes | None:
        handout, waiting = self._handout, self._waiting
        while True:
            if self._stopping:
                return self._receive_stopping(hand, want, dispatch)
            sources = waiting.sources(want)
            if handout.loaded and want.own:
                data = self._receive_loaded(hand, sources, dispatch)
                if data is not None:
                    return data
                continue
            events = sources.poll(0, 1)
            descriptor = events[0][0] if events else waiting.wait(sources, began, deadline)
            if descriptor == NONE:
                return None
            data = self._take_message(descriptor, hand)
            now = monotonic()
            if data is not None:
                waiting.arrived(now - began)
                self._hot, self._hot_want = descriptor, want
                self._answers = ANSWERS if waiting.spun and not events else 0
                self._hot_until = 0.0 if self._stopping else now + LOOK
                return data
            if self._take_other(descriptor, hand, dispatch) or handout.loaded:
                waiting.arrived(now - began)
                began = monotonic()

    # Taking from a source

    def _take_message(self, descriptor: int, hand: Hand) -> bytes | None:
        """The message that a ready queue has; None if it is no queue, or another was faster."""
        if descriptor != self._own:
            box = self._boxes.all.get(descriptor)
            return None if box is None else self._take_shared(box, hand)
        # With the lock, so that threads load frames in the order in which they came.
        handout = self._handout
        with self._lock:
            if handout.loaded:
                return None  # another thread was faster: there is something in front of what the queue has
            try:
                frame, priority = self._receive_own()
            except _Busy:
                return None
            kind = frame[:2]
            if kind == _SINGLE:
                handout.received += 1
                data = frame[2:]
                hand.put(data, 0)
                return data
            if kind == _LARGE:
                handout.received += 1
                return handout.deliver(frame, 0, hand)
            handout.load(frame, priority)
        return None

    def _take_shared(self, box: Box, hand: Hand) -> bytes | None:
        receive, source = box
        try:
            frame, _ = receive()
        except _Busy:
            return None
        self._handout.received += 1
        return self._handout.deliver(frame, source, hand)

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

    def _receive_loaded(self, hand: Hand, sources: Sources, dispatch: Dispatch) -> bytes | None:
        """The next loaded message, after a look at the other sources if it is time; None to look again."""
        if monotonic() >= self._handout.look_at:
            data = self._glance(sources, hand, dispatch)
            if data is not None or self._stopping:
                return data
        return self._handout.take(hand, 0.0 if self._stopping else monotonic() + LOOK)

    def _glance(self, sources: Sources, hand: Hand, dispatch: Dispatch) -> bytes | None:
        """Handle signals, and take one message that is more urgent or has its turn."""
        cells, urgent = self._cells, self._record + R_URGENT
        cells[self._record + R_MESSAGES] = self._handout.received
        self._turn = not self._turn
        for descriptor in sources.ready():
            box = self._boxes.all.get(descriptor)
            if box is None:
                while self._take_signal(descriptor, hand, dispatch) and not self._stopping:
                    pass
            elif self._turn and not cells[urgent]:
                data = self._take_shared(box, hand)
                if data is not None:
                    return data
        if cells[urgent]:
            self._take_urgent(urgent)
        return None

    def _take_urgent(self, urgent: int) -> None:
        """A message with a priority came into our own queue: load what is first there."""
        with self._lock:
            self._cells[urgent] = 0
            if not self._handout.room():
                self._cells[urgent] = 1  # look again when a frame is through
                return
            try:
                frame, priority = self._receive_own()
            except _Busy:
                return
            self._handout.load(frame, priority)

    # Done

    def done(self, everything: bool = False) -> None:
        """Mark what this thread has in hand as done; with everything, what any thread has.

        For a process that ends with code 0: without this it counts as left behind.
        """
        self._handout.done(everything)

    # Signals

    def _take_signal(self, descriptor: int, hand: Hand, dispatch: Dispatch) -> bool:
        """Take one signal and handle it. True if there may be more."""
        taken = self._signal_from(descriptor)
        if taken is None:
            return False
        self._cells[self._record + R_STATE] = table.BUSY
        dispatch(taken)
        if hand.holds():
            self._handout.done_with(hand)  # the handler received something itself
        return True

    def _signal_from(self, descriptor: int) -> int | None:
        taken = self._taker.take(descriptor)
        if isinstance(taken, int):
            return taken
        if taken is not None:
            self._waiting.rearm()
        return None

    def wait_signal(self, timeout: float | None) -> int | None:
        """Wait for a signal and return its number, without handling it. None when timeout seconds are over.

        What this thread has in hand stays in hand. Raises SystemExit once stop() was called and none is left.
        """
        began = monotonic()
        deadline = None if timeout is None else began + timeout
        cells, listening = self._cells, self._record + R_LISTENING
        waiting = self._waiting
        cells[listening] = 1
        try:
            while True:
                sources = waiting.sources(SIGNALS)
                if self._stopping:
                    taken = self._pending_signal(sources)
                    if taken is None:
                        self._exit(self._handout.hand())
                    return taken
                events = sources.poll(0, 1)
                descriptor = events[0][0] if events else waiting.wait(sources, began, deadline)
                if descriptor == NONE:
                    return None
                if descriptor == waiting.stop:
                    continue
                pending = descriptor == PENDING
                taken = self._pending_signal(sources) if pending else self._signal_from(descriptor)
                if taken is not None:
                    waiting.arrived(monotonic() - began)
                    return taken
        finally:
            cells[listening] = 0

    def _pending_signal(self, sources: Sources) -> int | None:
        for descriptor in sources.signals:
            taken = self._signal_from(descriptor)
            if taken is not None:
                return taken
        return None

    # Stopping

    def stop(self, drain: bool = True) -> None:
        """Receive what is still there, then raise SystemExit; without drain, raise at the next receive.

        Safe in a Python signal handler; wakes every thread that waits.
        """
        self._stopping = 2 if not drain else max(self._stopping, 1)
        self._handout.look_at = self._hot_until = 0.0
        os.eventfd_write(self._waiting.stop, 1)

    def _receive_stopping(self, hand: Hand, want: Want, dispatch: Dispatch) -> bytes | None:
        sources, handout = self._waiting.sources(want), self._handout
        while self._stopping < 2:
            busy = False
            for descriptor in sources.signals:
                while self._take_signal(descriptor, hand, dispatch):
                    busy = True
            if want.own and handout.loaded:
                data = handout.take(hand, 0.0)
                if data is not None:
                    return data
            for descriptor in sources.all:
                data = self._take_message(descriptor, hand)
                if data is not None:
                    return data
            if not busy and not (want.own and handout.loaded):
                break
        self._exit(hand)

    def _exit(self, hand: Hand) -> NoReturn:
        """Raise SystemExit; in a thread that swallowed one already, end the process."""
        if hand.told_to_exit:
            self.done(everything=True)
            post.finish_all()
            os._exit(0)
        hand.told_to_exit = True
        raise SystemExit(0)

    # Settings

    @property
    def used(self) -> bool:
        """True once some thread has received, or tried to."""
        return self._handout.used

    @property
    def asleep(self) -> int:
        """How many threads wait in the kernel for something to receive."""
        return self._handout.asleep

    @property
    def loaded(self) -> bool:
        """True if a frame's messages are being handed out."""
        return bool(self._handout.loaded)

    def set_shared(self, reads: bool) -> None:
        """Whether this mule reads the pool's and its farms' queues; senders see it in the table."""
        self._cells[self._record + R_READER] = READS_OWN | (READS_SHARED if reads else 0)
        self._waiting.set_shared(reads)
        self._hot_want = None

    def fileno(self) -> int:
        """A descriptor, readable when get(0, True, True, ...) may have something; until set_shared()."""
        return self._waiting.sources(_EVERYTHING).fileno()

    def close(self) -> None:
        """Close what can be closed; for tests, and for a process that stops being a mule."""
        self._waiting.close()
        for descriptor in self._boxes.all:
            os.close(descriptor)
        self._handout.close()
