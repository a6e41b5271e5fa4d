"""Frames that are being handed out: what arrived is loaded, in order, and goes with its last message.

Knows the frame areas, where undeliverable messages are kept, and batches of records of lanes; not who gets a
message. Several frames can be loaded: the one that is handed out, and those behind it (a more urgent one
overtakes).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from ipcmules.bus import log
from ipcmules.bus.places import Places
from ipcmules.errors import IpcMulesError, LimitError
from ipcmules.kernel import unpatched
from ipcmules.kernel.interruption import raised_here
from ipcmules.messages import frames, in_hand, slots
from ipcmules.messages.lanes.directory import L_HEAD
from ipcmules.messages.lanes.private import Batch
from ipcmules.messages.lanes.tally import Tally
from ipcmules.messages.receive.hand import Hand, Hands, Item, Loaded
from ipcmules.messages.receive.undeliverable import REFUSED, Undeliverable

#: In place of a priority: in front of everything that is loaded.
FIRST = -1
#: The number of a mule's own queue.
OWN_QUEUE = 0


class Loading:
    """The frames that are loaded in this process."""

    def __init__(
        self,
        where: Places,
        number: int,
        widest: int,
        sources: Iterable[int],
        ended: Callable[[Hand], object],
    ) -> None:
        """ended(hand) is called in a thread that ends."""
        self._undeliverable = Undeliverable(where, number)
        parts = slots.Slots(where, number)
        in_hand.settle_lanes(where, parts)
        self._widest = widest
        self._hands = Hands(parts, widest, ended)
        self.cells = self._hands.cells
        #: The hands by thread.
        self.hands = self._hands.hands
        #: Held while frames are taken and loaded, so that threads do it in the order in which they came.
        self.lock = unpatched.RLock()
        #: What was taken from this mule's own queue and is neither loaded nor in hand yet.
        self.arrived: list[Item] = []
        #: First the frame that is being handed out, then those behind it.
        self.loaded: list[Loaded] = self._hands.resume()
        #: How many messages this process has received, by the number of their queue.
        self.tallies = {source: Tally() for source in sources}
        #: What wakes threads that sleep when a frame was loaded.
        self.wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        #: The messages of the first one that are left, each with the mark for the cell of who has it.
        self.pairs: Iterable[tuple[int, bytes]] = self.loaded[0].pairs if self.loaded else iter(())

    @property
    def received(self) -> int:
        """How many messages this process has received."""
        return sum(each.taken for each in self.tallies.values())

    # load() and room() with the lock held

    def load(self) -> None:
        """Hand out the messages of what arrived first from now on, more urgent ones before others."""
        item = self.arrived[0] if self.arrived else None
        if item is None:
            return
        frame, priority, source = item
        first = self.loaded[0] if self.loaded and priority == FIRST else None
        try:
            loaded = self._hands.load(frame, max(priority, 0), first)
        except IpcMulesError as error:
            if not raised_here(error):
                raise
            if isinstance(error, frames.FrameError):
                self._undeliverable.keep(frame, source, error)
            else:
                self._undeliverable.keep_each(frame, source, error)
            self._drop(self.arrived, item)
            return
        self._wake_sleepers()
        self._insert(item, loaded, first is not None)

    def _insert(self, item: Item, loaded: Loaded, first: bool) -> None:
        left, tally = loaded.left(), self.tallies[item[2]]
        while True:
            others = self.loaded[:]
            place = 0 if first else len(others)
            while place and others[place - 1].priority < loaded.priority:
                place -= 1
            pairs = self.pairs if place else loaded.pairs
            if self.loaded == others:
                if self.arrived and self.arrived[0] is item:
                    # From here on no call and no loop.
                    self.cells[loaded.remaining] = left
                    self.loaded[place:place] = [loaded]
                    self.pairs = pairs
                    tally.taken += left
                    del self.arrived[0]
                break
        self._hands.counts(loaded)
        for each in others:  # the one that was overtaken: no thread's cell may tell it any more
            self._hands.mark(each)

    def load_batch(self, batch: Batch, heads: memoryview) -> None:
        """As load(), of what was seen in a lane. heads: the cells of the directory of lanes."""
        position, loaded = batch.position, self._store(batch)
        self._wake_sleepers()
        left, head, tally = loaded.left(), position.entry + L_HEAD, self.tallies[OWN_QUEUE]
        while True:
            others = self.loaded[:]
            place = len(others)
            while place and others[place - 1].priority < loaded.priority:
                place -= 1
            pairs = self.pairs if place else loaded.pairs
            if self.loaded == others:
                if position.segment is batch.segment and position.at == batch.first:
                    # From here on no call and no loop. Once it counts in the slots it is not in the lane any
                    # more: what a SIGKILL prevents here in_hand.settle_lanes() does.
                    self.cells[loaded.remaining] = left
                    heads[head] = batch.head
                    position.at = batch.at
                    position.end = batch.end
                    self.loaded[place:place] = [loaded]
                    self.pairs = pairs
                    tally.taken += left
                break
        self._hands.counts(loaded)
        for each in others:
            self._hands.mark(each)
        position.give_back()

    def _store(self, batch: Batch) -> Loaded:
        """Store a batch in the slots. Where there is no memory for all of it: what fits into the memory there
        is. Where that is in use it waits, and lies in its lane meanwhile."""
        said = False
        while True:
            try:
                frame = batch.frame()
                return self._hands.load(frame, batch.priority, None, batch.position.lane + 1, batch.head)
            except LimitError as error:
                if not raised_here(error):
                    raise
                if not batch.shorten(self._widest):
                    if not said:
                        log.event("warning", f"messages behind a queue wait: {error}")
                    said = True
                    unpatched.sleep(REFUSED)

    def room(self) -> bool:
        """True if one more frame may be loaded."""
        return self._hands.room(self.loaded)

    def _next_frame(self, current: Loaded) -> None:
        """A frame was handed out to its end."""
        following = self._following()
        if self.loaded and self.loaded[0] is current:
            self.cells[current.remaining] = 0
            self.pairs = following
            del self.loaded[0]
        self._hands.release(current)

    def _following(self) -> Iterable[tuple[int, bytes]]:
        return self.loaded[1].pairs if len(self.loaded) > 1 else iter(())

    @staticmethod
    def _drop(items: list[Item], item: Item) -> None:
        if items and items[0] is item:
            del items[0]

    # Threads that sleep

    @property
    def asleep(self) -> int:
        """How many threads sleep."""
        return sum(each.asleep for each in list(self.hands.values()))

    def _wake_sleepers(self) -> None:
        if len(self.hands) > 1 and self.asleep:
            os.eventfd_write(self.wake, 1)

    def sleeps(self) -> None:
        """The calling thread has said that it sleeps: nothing must be loaded that nobody is woken for."""
        with self.lock:
            if self.loaded and len(self.hands) > 1:
                os.eventfd_write(self.wake, 1)

    def rest_if_empty(self) -> None:
        """A thread was woken by `wake`: nobody else need be once nothing is loaded."""
        with self.lock:
            if self.loaded:
                return
            try:
                os.eventfd_read(self.wake)
            except BlockingIOError:
                pass

    def close(self) -> None:
        """Close the descriptors."""
        os.close(self.wake)
        self._hands.close()
