"""Handing out what was taken from queues, one message a receive, to any thread of the mule.

Knows frames, hands and where undeliverable messages are kept; not when queues are read. What is loaded is
loading.py's.

A message goes from its queue into a list (arrived, Hand.came) in one stretch without calls, from there into
the thread's hand in another, and out of the receive in a third. So wherever a signal handler raises it is in
exactly one of these places, and the next receive goes on from there (ipcmules.kernel.interruption).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic

from ipcmules.bus.places import Places
from ipcmules.kernel import unpatched
from ipcmules.kernel.interruption import raised_here
from ipcmules.messages import frames
from ipcmules.messages.lanes.cells import OWN, REFERENCE
from ipcmules.messages.receive.hand import Hand, Item, Loaded
from ipcmules.messages.receive.loading import FIRST, OWN_QUEUE, Loading
from ipcmules.messages.receive.records import next_record, take_claim
from ipcmules.messages.receive.undeliverable import peek

#: Between messages that were there already, other sources are looked at when so many seconds have passed.
LOOK = 0.001
#: The pool's number (inflight.endpoint_of); the farms' follow.
POOL_QUEUE = 1

_SINGLE = frames.SINGLE
_get_ident = unpatched.get_ident


class Handout(Loading):
    """What the threads of this process have in hand, and the common path of every receive."""

    def __init__(self, where: Places, number: int, widest: int, sources: Iterable[int]) -> None:
        """sources: the numbers of the queues that this mule receives from."""
        super().__init__(where, number, widest, sources, self._thread_ended)
        #: What a thread took of a farm, and could not return any more: for the next receive of that farm.
        self.aside: list[Item] = []

    def next(self, everything: bool = True) -> bytes | None:
        """The next message that can be had without a look at other sources; None if that is due.

        everything: the receive takes messages of any queue. mule_get_msg() has the first part of this in
        place of a call (api/messages.py).
        """
        hand = self.hands.get(_get_ident())
        if hand is None or monotonic() >= hand.look_at:
            return None
        if self.loaded:
            for mark, data in self.pairs:
                hand.cells[hand.ref] = mark
                return data
        elif everything and hand.took_all and hand.position is not None:
            return next_record(self, hand)
        return None

    #: The rest of next() while nothing is loaded, for a hand and in time (api/messages.py).
    next_record = next_record

    # Hands

    def hand(self) -> Hand:
        """The calling thread's hand, with what it holds."""
        return self._hands.of_thread()

    def done_with(self, hand: Hand) -> None:
        """Empty a hand."""
        if self.loaded:
            with self.lock:
                for each in list(self.loaded):
                    self._hands.mark(each)
        hand.empty()

    def done(self, everything: bool) -> None:
        """Empty the calling thread's hand, or all."""
        for thread, hand in list(self.hands.items()):
            if everything or thread == _get_ident():
                self.done_with(hand)

    @property
    def used(self) -> bool:
        """True once some thread has received, or tried to."""
        return bool(self.hands)

    # From a list into the hand

    def give(self, items: list[Item], hand: Hand) -> None:
        """Put the first of some items, a message that came alone, in hand; it is to be returned then.

        What cannot be delivered is kept, and nothing is in hand.
        """
        item = items[0] if items else None
        if item is None:
            return  # a handler of this thread has received it
        frame, _priority, source = item
        if frame[:2] == _SINGLE:
            data = frame[2:]
            start, size, tally = hand.area, len(data), self.tallies[source]
            if items and items[0] is item:
                # From here on no call and no loop. The bytes first, then the cell: a SIGKILL leaves either.
                hand.memory[start : start + size] = data
                self.cells[hand.ref] = OWN | source << 32 | size
                hand.given = data
                tally.taken += 1
                del items[0]
            return
        if items is not hand.came and items and items[0] is item:
            # No other thread must have the reference too.
            hand.came += items[:1]
            del items[0]
        self._give_large(item, hand)

    def _give_large(self, item: Item, hand: Hand) -> None:
        frame, _priority, source = item
        came = hand.came
        try:
            self._undeliverable.check_alone(frame, source)
            reference = frame[frames.OVERHEAD :]
            start, size, tally = hand.area, len(reference), self.tallies[source]
            if hand.reference not in (None, reference):  # a handler has received it meanwhile, and is done
                hand.empty()
            if came and came[0] is item:
                hand.memory[start : start + size] = reference
                self.cells[hand.ref] = OWN | REFERENCE | source << 32 | size
                hand.reference = reference
            data = peek(reference)
            hand.next_look = 0.0  # the next receive has a segment to remove, which next() would not
            if came and came[0] is item:
                hand.given = data
                tally.taken += 1
                del came[0]
        except (OSError, ValueError) as error:
            if not raised_here(error):
                raise
            if came and came[0] is item:
                self._undeliverable.keep(frame, source, error)
                self._drop(came, item)
                hand.empty()

    # What an interrupted receive left

    def resume(self, hand: Hand, takes: Callable[[int], bool]) -> bool:
        """What this thread took before and did not return. True if it is in hand now, to be returned.

        takes(source) says whether the receive that goes on wants messages of that queue.
        """
        take_claim(self, hand)
        while hand.came and hand.given is None:
            self.give(hand.came, hand)
        if hand.given is None:
            return False
        if takes(hand.source()):
            return True
        self._put_aside(hand)
        return False

    def take_aside(self, hand: Hand, takes: Callable[[int], bool]) -> bool:
        """As resume(), for what another receive could not return."""
        with self.lock:
            for item in list(self.aside):
                if takes(item[2]) and item in self.aside:
                    hand.came += [item]
                    self.aside.remove(item)
                    break
        return self.resume(hand, takes)

    def _put_aside(self, hand: Hand) -> None:
        """Take what was not returned out of a hand, for another receive, or another thread."""
        source, data, reference = hand.source(), hand.given, hand.reference
        if data is None:
            return
        frame = _SINGLE + data if reference is None else frames.large(reference)
        item = (frame, FIRST, source)
        where = self.arrived if source <= POOL_QUEUE else self.aside
        tally = self.tallies[source]
        if hand.given is data:
            # From here on no call and no loop.
            where[:0] = [item]
            hand.given = hand.reference = None
            self.cells[hand.ref] = 0
            tally.taken -= 1
        self.settle()

    def settle(self) -> None:
        """Load what has arrived: in the slots it outlives the process, and any thread can take it."""
        if self.arrived:
            with self.lock:
                while self.arrived:
                    self.load()

    def leave(self) -> None:
        """The process ends: what was taken and not returned is left to the mule's successor."""
        for hand in list(self.hands.values()):
            take_claim(self, hand)
            while hand.came and hand.given is None:
                self.give(hand.came, hand)
            self._put_aside(hand)
        with self.lock:
            self.arrived += self.aside
            self.aside.clear()
            self.settle()

    def _thread_ended(self, hand: Hand) -> None:
        take_claim(self, hand)
        while hand.came and hand.given is None:
            self.give(hand.came, hand)
        self._put_aside(hand)
        self.done_with(hand)

    # What is loaded

    def take(self, hand: Hand) -> None:
        """Put the next message of what is loaded in hand, to be returned."""
        with self.lock:
            while self.loaded:
                current = self.loaded[0] if self.loaded else None
                if current is None:
                    return
                if current.reference is not None:
                    self._take_large(current, current.reference, hand)
                    return
                for mark, data in current.pairs:
                    self.cells[hand.ref] = mark
                    hand.given = data
                    return
                self._next_frame(current)
            hand.next_look = 0.0

    def _take_large(self, current: Loaded, reference: bytes, hand: Hand) -> None:
        start, size = hand.area, len(reference)
        item = (frames.large(reference), current.priority, OWN_QUEUE)
        following, tally = self._following(), self.tallies[OWN_QUEUE]
        if self.loaded and self.loaded[0] is current:
            # From here on no call and no loop.
            hand.memory[start : start + size] = reference
            self.cells[hand.ref] = OWN | REFERENCE | size
            hand.came += [item]
            self.cells[current.remaining] = 0
            self.pairs = following
            tally.taken -= 1  # give() counts it
            del self.loaded[0]
        self._hands.release(current)
        self.give(hand.came, hand)
