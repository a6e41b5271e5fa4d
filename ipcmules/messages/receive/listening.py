"""What the threads of a mule have in common as long as they receive: parts, signals, and the end.

Knows the parts of an inbox, signals only as a taker that it is given and a function to call; messages only as
what the handout has in hand. How messages are received is inbox.py's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from time import monotonic
from typing import NoReturn

from ipcmules.bus import table
from ipcmules.bus.description import Description
from ipcmules.bus.places import Places
from ipcmules.bus.table import R_LISTENING, R_STATE, Table
from ipcmules.kernel.unpatched import get_ident
from ipcmules.messages import large
from ipcmules.messages.receive.behind import Behind
from ipcmules.messages.receive.boxes import Boxes
from ipcmules.messages.receive.hand import Hand
from ipcmules.messages.receive.handout import Handout
from ipcmules.messages.receive.sources import SIGNALS, Sources
from ipcmules.messages.receive.waiting import NONE, PENDING, Taker, Waiting
from ipcmules.messages.send import post

#: What `_stopping` is for a stop that leaves what is queued.
AT_ONCE = 2

Dispatch = Callable[[int], None]


class Listener:
    """An inbox without what it receives."""

    def __init__(
        self, where: Places, description: Description, shared: Table, number: int, taker: Taker
    ) -> None:
        self._number = number
        self._taker = taker
        self._cells = shared.cells
        self._record = shared.mule(number)
        self._boxes = boxes = Boxes(where, description, number)
        sources = {descriptor: source for descriptor, (_, source) in boxes.all.items()}
        self._handout = Handout(where, number, boxes.widest, sources.values())
        self._behind = Behind(where, number, boxes.own, sources, boxes.senders, self._handout.tallies)
        self._hands = self._handout.hands
        self._waiting = Waiting(boxes, taker, self._handout, shared, self._record, where.notify, self._behind)
        self._stopping = 0
        #: True in a child that user code forked: it receives nothing.
        self._is_child = False
        #: Until when the queue that had the last message is tried first.
        self._hot_until = 0.0

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

    # Done

    def leave(self) -> None:
        """The process ends: what was taken and given to nobody is left to the successor, or to others."""
        self._handout.leave()
        self._taker.give_back()

    def done(self, everything: bool = False) -> None:
        """Mark what this thread has in hand as done; with everything, what any thread has.

        For a process that ends with code 0: without this it counts as left behind.
        """
        self._handout.done(everything)

    def context(self) -> bytes:
        """The context that came with what this thread has in hand; nothing where none did."""
        hand = self._hands.get(get_ident())
        reference = None if hand is None else hand.reference
        try:
            return b"" if reference is None else large.context_of(reference)
        except OSError:
            return b""  # it can be handled without

    # Signals

    def _take_signal(self, descriptor: int, hand: Hand, dispatch: Dispatch) -> bool:
        """Take one signal and handle it. True if there may be more."""
        taken = self._signal_from(descriptor)
        if taken is None:
            return False
        self._cells[self._record + R_STATE] = table.BUSY
        dispatch(taken)
        if hand.given is None and hand.holds():
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
        waiting, hand = self._waiting, self._handout.hand()
        cells[listening] = 1
        try:
            while True:
                sources = waiting.sources(SIGNALS)
                if self._stopping:
                    taken = self._pending_signal(sources)
                    if taken is None:
                        self._exit(hand)
                    return taken
                events = sources.poll(0, 1)
                descriptor = events[0][0] if events else waiting.wait(sources, hand, began, deadline)
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
        self._stopping = max(self._stopping, 1 if drain else AT_ONCE)
        self._hot_until = 0.0
        for hand in list(self._hands.values()):
            hand.look_at = hand.next_look = hand.until = 0.0
        os.eventfd_write(self._waiting.stop, 1)

    @staticmethod
    def _end_child() -> NoReturn:
        try:
            post.finish_all()
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
        finally:
            os._exit(0)

    def _exit(self, hand: Hand) -> NoReturn:
        """Raise SystemExit; in a thread that swallowed one already, end the process."""
        if self._is_child:
            self._end_child()
        if hand.told_to_exit:
            self.leave()
            self.done(everything=True)
            post.finish_all()
            os._exit(0)
        hand.told_to_exit = True
        raise SystemExit(0)

    def received_by(self) -> set[int]:
        """The living threads that receive here."""
        alive = set(sys._current_frames())  # threads of the system: gevent shows others
        return {each for each in list(self._hands) if each in alive}

    def close(self) -> None:
        """Close what can be closed; for tests, and for a process that stops being a mule."""
        self._waiting.close()
        for descriptor in self._boxes.all:
            os.close(descriptor)
        self._handout.close()
