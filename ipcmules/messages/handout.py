"""Handing out the messages of frames, one a receive, to any thread of the mule.

Knows frames, hands and where undeliverable messages are kept; not where frames come from. Several frames can
be loaded: the one that is handed out, and those behind it (a more urgent one overtakes).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from time import monotonic

from ipcmules.errors import IpcMulesError
from ipcmules.messages import frames, inflight, kept, large
from ipcmules.messages.hand import Hand, Hands, Loaded
from ipcmules.places import Places

#: Between messages that were there already, other sources are looked at when so many seconds have passed.
LOOK = 0.001

_get_ident = threading.get_ident


class Handout:
    """The frames that are loaded in this process, and the common path of every receive."""

    def __init__(self, where: Places, number: int, widest: int) -> None:
        self._where = where
        self._number = number
        self._hands = Hands(inflight.Slots(where, number), widest)
        self.cells = self._hands.cells
        self._refs = self._hands.refs
        #: The hands by thread.
        self.hands = self._hands.hands
        #: Held while frames are loaded, so that threads load them in the order in which they came.
        self.lock = threading.Lock()
        #: First the frame that is being handed out, then those behind it.
        self.loaded: list[Loaded] = self._hands.resume()
        #: How many messages this process has received.
        self.received = 0
        #: When to look at other sources next; 0: at once, as nothing is loaded or a stop was asked for.
        self.look_at = 0.0
        #: How many threads sleep, and what wakes them when a frame was loaded.
        self.asleep = 0
        self.wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._pairs: Iterable[tuple[int, bytes]] = iter(())
        if self.loaded:
            self._begin(self.loaded[0])

    def next(self) -> bytes | None:
        """The next message, if one is loaded and it is not time to look at other sources; else None.

        What nearly every receive of a busy mule comes to, so every call in here counts: the clock (a handler
        may have taken long since the last one), the thread's cell, a step of an iterator that threads share.
        """
        if self.loaded and monotonic() < self.look_at:
            ref = self._refs.get(_get_ident())
            if ref is not None:
                for mark, data in self._pairs:
                    self.cells[ref] = mark
                    return data
        return None

    # Hands

    def hand(self) -> Hand:
        """The calling thread's hand, with what it holds."""
        return self._hands.of_thread()

    def done_with(self, hand: Hand) -> None:
        """Empty a hand."""
        if self.loaded:
            with self.lock:
                for each in self.loaded:
                    self._hands.mark(each)
        hand.empty()

    def done(self, everything: bool) -> None:
        """Empty the calling thread's hand, or all."""
        with self.lock:
            for each in self.loaded:
                self._hands.mark(each)
            self._hands.empty(None if everything else _get_ident())

    @property
    def used(self) -> bool:
        """True once some thread has received, or tried to."""
        return bool(self._refs)

    def deliver(self, frame: bytes, source: int, hand: Hand) -> bytes | None:
        """Take a message that came alone in hand and return it; None: it cannot be delivered and is kept."""
        if frame[:2] == frames.SINGLE:
            data = frame[2:]
            hand.put(data, source)
            return data
        endpoint = inflight.endpoint_of(self._where, self._number, source)
        try:
            if not frames.is_large(frame):
                frames.unpack(frame)
                raise frames.FrameError(
                    f"{endpoint} is shared and carries one message a frame, this one has more"
                )
            reference = frame[2:]
            hand.put_reference(reference, source)
            return large.peek(reference)
        except (OSError, ValueError) as error:
            hand.empty()
            kept.keep(self._where, frame, endpoint, f"not deliverable: {error}")
            return None

    # Frames; load() and room() with the lock held

    def load(self, frame: bytes, priority: int) -> None:
        """Hand out a frame's messages from now on, more urgent ones before others."""
        try:
            loaded = self._hands.load(frame, priority)
        except IpcMulesError as error:
            kept.keep(self._where, frame, f"mule{self._number}", f"not deliverable: {error}")
            return
        self.received += loaded.left()
        place = len(self.loaded)
        while place and self.loaded[place - 1].priority < priority:
            place -= 1
        self.loaded.insert(place, loaded)
        if place == 0:
            self._begin(loaded)
        if self.asleep:
            os.eventfd_write(self.wake, 1)

    def room(self) -> bool:
        """True if one more frame may be loaded."""
        return self._hands.room(self.loaded)

    def _begin(self, loaded: Loaded) -> None:
        self._pairs = loaded.pairs
        self.look_at = monotonic() + LOOK

    def _next_frame(self) -> None:
        del self.loaded[0]
        self._pairs = self.loaded[0].pairs if self.loaded else iter(())

    def take(self, hand: Hand, look_at: float) -> bytes | None:
        """The next message of what is loaded; None if that was all. look_at: see there."""
        with self.lock:
            self.look_at = look_at
            while self.loaded:
                current = self.loaded[0]
                if current.reference is not None:
                    self._next_frame()
                    self._hands.release(current)
                    self.look_at = 0.0  # the next receive has a segment to remove, which next() would not
                    return self.deliver(frames.large(current.reference), 0, hand)
                for mark, data in current.pairs:
                    self.cells[hand.ref] = mark
                    return data
                self._next_frame()
                self._hands.release(current)
            self.look_at = 0.0
        return None

    # Threads that sleep

    def sleeping(self, change: int) -> None:
        """A thread goes to sleep (+1) or has woken (-1)."""
        with self.lock:
            self.asleep += change
            if change > 0 and self.loaded and len(self._refs) > 1:
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
