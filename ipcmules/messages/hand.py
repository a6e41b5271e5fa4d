"""What the threads of this process have in hand, and the frames that are being handed out.

Knows the in-flight slots and frames. The cells it stores are what a master finds after a SIGKILL: every
order of stores here is chosen for that.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count
from operator import length_hint

from ipcmules.errors import IpcMulesError
from ipcmules.messages import frames, inflight, large
from ipcmules.messages.inflight import (
    F_REMAINING,
    F_SEQUENCE,
    FRAMES,
    OWN,
    PAGE,
    REFERENCE,
    REFS,
    SEQUENCE_SHIFT,
    THREADS,
    Slots,
)

#: Frames that are loaded at once: one being handed out, others behind a more urgent one.
LOADED = 4


class Hand:
    """One thread's place in the slots."""

    def __init__(self, slots: Slots, thread: int) -> None:
        self.cells = slots.cells
        self.ref = REFS + thread
        self.told_to_exit = False
        self._memory = slots.memory
        self._area = inflight.thread_area(thread)
        #: The large message in hand.
        self.reference: bytes | None = None

    def holds(self) -> int:
        """Not 0 if something is in hand."""
        return self.cells[self.ref]

    def put(self, data: bytes, source: int) -> None:
        """Take a message in hand. The bytes first, then the cell: a SIGKILL between them leaves none."""
        area, size = self._area, len(data)
        self._memory[area : area + size] = data
        self.cells[self.ref] = OWN | source << 32 | size

    def put_reference(self, reference: bytes, source: int) -> None:
        """Take a large message in hand."""
        area, size = self._area, len(reference)
        self._memory[area : area + size] = reference
        self.cells[self.ref] = OWN | REFERENCE | source << 32 | size
        self.reference = reference

    def empty(self) -> None:
        """Done with it. A large message is removed first: the cell that is still there then names nothing."""
        reference, self.reference = self.reference, None
        if reference is not None:
            large.discard(reference)
        self.cells[self.ref] = 0


class Loaded:
    """A frame whose messages are being handed out, each with the mark that goes into the thread's cell."""

    def __init__(
        self, area: int, sequence: int, priority: int, messages: list[bytes], reference: bytes | None
    ) -> None:
        self.area = area
        self.sequence = sequence
        self.priority = priority
        #: A large message's; such a frame has no pairs.
        self.reference = reference
        number = len(messages)
        first = sequence << SEQUENCE_SHIFT | number
        self._marks = iter(range(first - 1, first - number - 1, -1))
        #: One step of it is atomic in CPython: threads that share it never get one message twice.
        self.pairs: Iterator[tuple[int, bytes]] = zip(self._marks, messages, strict=False)

    def left(self) -> int:
        """How many messages were not handed out."""
        if self.reference is not None:
            return 1
        return length_hint(self._marks)  # exact for a range's iterator


class Hands:
    """All threads' hands, and the frame areas."""

    def __init__(self, slots: Slots, widest: int) -> None:
        self.cells = slots.cells
        self._slots = slots
        self._widest = widest
        #: By thread.
        self.hands: dict[int, Hand] = {}
        #: The number of each thread's cell, for the common path.
        self.refs: dict[int, int] = {}
        self._lock = threading.Lock()
        self._areas: set[int] = set()
        self._used: dict[int, int] = {}  # sequence by area, of what is loaded or may be in a hand
        slots.reserve(0, PAGE)
        slots.forget_hands()
        self._reserve(0)
        self._reserve(1)
        sequences = [self.cells[slots.header(area) + F_SEQUENCE] for area in range(FRAMES)]
        self._sequences = count(max(sequences) + 1)

    def _reserve(self, area: int) -> None:
        if area not in self._areas:
            self._slots.reserve(inflight.frame_area(area), self._widest)
            self._areas.add(area)

    def resume(self) -> list[Loaded]:
        """The frames a predecessor left, in the order in which they go on."""
        found = []
        for rest in self._slots.rests():
            self._areas.add(rest.area)
            self._used[rest.area] = rest.sequence
            if frames.is_large(rest.frame):
                found.append(
                    Loaded(rest.area, rest.sequence, rest.priority, [], rest.frame[frames.OVERHEAD :])
                )
            else:
                found.append(Loaded(rest.area, rest.sequence, rest.priority, rest.messages(), None))
        return found

    # Threads

    def of_thread(self) -> Hand:
        """The calling thread's hand."""
        hand = self.hands.get(threading.get_ident())
        return hand if hand is not None else self._give()

    def _give(self) -> Hand:
        me = threading.get_ident()
        with self._lock:
            taken = {each.ref - REFS for each in self.hands.values()}
            free = next((thread for thread in range(THREADS) if thread not in taken), None)
            hand = self._inherit() if free is None else Hand(self._slots, free)
            if free is not None:
                self._slots.reserve(inflight.thread_area(free), self._widest)
            self.hands[me] = hand
        self.refs[me] = hand.ref
        return hand

    def _inherit(self) -> Hand:
        """The hand of a thread that has ended; what it held is done, as a thread that ends is done."""
        alive = {thread.ident for thread in threading.enumerate()}
        for ident in list(self.hands):
            if ident not in alive:
                hand = self.hands.pop(ident)
                self.refs.pop(ident, None)
                hand.empty()
                hand.told_to_exit = False
                return hand
        raise IpcMulesError(
            f"{THREADS} threads of this mule receive messages already, which is the most there can be: "
            "receive in fewer threads and hand the messages on"
        )

    def empty(self, ident: int | None) -> None:
        """One thread's hand is done, or with None everyone's."""
        with self._lock:
            for each, hand in self.hands.items():
                if ident in (None, each):
                    hand.empty()

    # Frames

    def load(self, frame: bytes, priority: int) -> Loaded:
        """Store a frame in a free area and make it ready to hand out. Raises FrameError."""
        reference = frame[frames.OVERHEAD :] if frames.is_large(frame) else None
        messages = [] if reference is not None else list(frames.unpack(frame))
        area = self._free()
        self._reserve(area)
        sequence = next(self._sequences)
        self._slots.store(area, sequence, frame, priority, len(messages) or 1)
        self._used[area] = sequence
        return Loaded(area, sequence, priority, messages, reference)

    def _free(self) -> int:
        """An area that holds neither a loaded frame nor one a thread has a message of."""
        for area in range(FRAMES):
            if area not in self._used:
                return area
        in_hand = {self.cells[each.ref] >> SEQUENCE_SHIFT for each in self.hands.values()}
        for area, sequence in list(self._used.items()):
            if sequence not in in_hand and not self.cells[self._slots.header(area) + F_REMAINING]:
                del self._used[area]
        return next(area for area in range(FRAMES) if area not in self._used)

    def room(self, loaded: list[Loaded]) -> bool:
        """True if one more frame may be loaded."""
        return len(loaded) < LOADED

    def mark(self, loaded: Loaded) -> None:
        """Store how much of a frame is left, before a thread's cell stops telling it."""
        self.cells[self._slots.header(loaded.area) + F_REMAINING] = loaded.left()

    def release(self, loaded: Loaded) -> None:
        """A frame is handed out to its end."""
        self.cells[self._slots.header(loaded.area) + F_REMAINING] = 0
        in_hand = {self.cells[each.ref] >> SEQUENCE_SHIFT for each in self.hands.values()}
        if loaded.sequence not in in_hand:
            self._used.pop(loaded.area, None)

    def close(self) -> None:
        """Close the descriptor of the segment."""
        self._slots.close()
