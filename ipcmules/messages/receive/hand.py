"""What the threads of this process have in hand, and the frames that are being handed out.

Knows the in-flight slots and frames. The cells it stores are what a master finds after a SIGKILL: every
order of stores here is chosen for that. And a signal handler may raise or receive in the middle of anything
here (ipcmules.kernel.interruption).
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from itertools import count
from operator import length_hint

from ipcmules.errors import IpcMulesError
from ipcmules.kernel import unpatched
from ipcmules.messages import frames, large
from ipcmules.messages import slots as inflight
from ipcmules.messages.lanes.cells import OWN
from ipcmules.messages.lanes.shared import Claim, Position
from ipcmules.messages.slots import (
    F_REMAINING,
    F_SEQUENCE,
    FRAMES,
    PAGE,
    REFS,
    SEQUENCE_SHIFT,
    THREADS,
    Slots,
)

#: Frames that are loaded at once: one being handed out, others behind a more urgent one.
LOADED = 4
#: Between the sequences of two frames: what was put back goes in front of what is handed out.
_STEP = 16

#: What was taken from a queue: its frame, the priority, and the number of the queue (inflight.py).
Item = tuple[bytes, int, int]


class Hand:
    """One thread's place in the slots, and how far its receive has come."""

    def __init__(self, slots: Slots, thread: int) -> None:
        self.cells = slots.cells
        self.memory = slots.memory
        self.ref = REFS + thread
        self.area = inflight.thread_area(thread)
        self.told_to_exit = False
        #: The large message in hand.
        self.reference: bytes | None = None
        #: What this thread took from a shared queue and has not in hand yet.
        self.came: list[Item] = []
        #: What a claim of a record of a lane has brought, which is to go into `came` (records.py).
        self.won: list[Claim] = []
        #: What is in hand and was returned to nobody yet: an interrupted receive leaves it to the next.
        self.given: bytes | None = None
        #: When to look at other sources next; until then the short way may be taken (Handout.next).
        self.look_at = 0.0
        #: What `look_at` will be when the receive that goes on has returned.
        self.next_look = 0.0
        #: What the last receive waited for; and of the queue that it then took a record of (records.py):
        #: where the next one is, and until when that may be taken without a look around.
        self.want: object = None
        #: Whether that was everything.
        self.took_all = False
        self.position: Position | None = None
        self.until = 0.0
        #: True while the thread waits in the kernel.
        self.asleep = False

    def holds(self) -> int:
        """Not 0 if something is in hand."""
        return self.cells[self.ref]

    def source(self) -> int:
        """The number of the queue that what is in hand came from."""
        ref = self.cells[self.ref]
        return ref >> 32 & 0xFFFF if ref & OWN else 0

    def empty(self) -> None:
        """Done with it. A large message is removed first: the cell that is still there then names nothing."""
        while True:
            reference = self.reference
            if reference is not None:
                large.discard(reference)
            if self.reference is reference:  # no handler has received another one meanwhile
                self.reference = None
                self.cells[self.ref] = 0
                return


class Loaded:
    """A frame whose messages are being handed out, each with the mark that goes into the thread's cell."""

    def __init__(
        self, area: int, sequence: int, priority: int, messages: list[bytes], reference: bytes | None
    ) -> None:
        self.area = area
        self.sequence = sequence
        self.priority = priority
        #: The cell that says how many of its messages are left.
        self.remaining = inflight.HEADERS + area * inflight.F_CELLS + F_REMAINING
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


class _End:
    """Lives in a thread's storage, and so ends with the thread."""

    counts = False  #: of the class: a handler may raise in __init__

    def __init__(self, hands: Hands) -> None:
        self._hands = weakref.ref(hands)
        self._thread = unpatched.get_ident()
        self._process = os.getpid()

    def __del__(self) -> None:
        hands = self._hands() if self.counts else None
        if hands is not None and self._process == os.getpid():  # in a forked child this is a copy
            hands.ended(self._thread)


class Hands:
    """All threads' hands, and the frame areas.

    ended(hand) is called in a thread that ends, before another thread can have its place.
    """

    def __init__(self, slots: Slots, widest: int, ended: Callable[[Hand], object]) -> None:
        self.cells = slots.cells
        self._slots = slots
        self._widest = widest
        self._ended = ended
        #: By thread.
        self.hands: dict[int, Hand] = {}
        self._ends = unpatched.local()
        # Reentrant, as every lock here: a signal handler may receive in the middle.
        self._lock = unpatched.RLock()
        self._areas: dict[int, int] = {}  # how many bytes of each are reserved
        self._used: dict[int, int] = {}  # sequence by area, of what is loaded or may be in a hand
        self._loading: set[int] = set()  # what is stored there does not count yet
        slots.reserve(0, PAGE)
        slots.forget_hands()
        self._reserve(0)
        self._reserve(1)
        sequences = [self.cells[slots.header(area) + F_SEQUENCE] for area in range(FRAMES)]
        self._sequences = count(max(sequences) + _STEP, _STEP)

    def _reserve(self, area: int, size: int = 0) -> None:
        size = max(size, self._widest)
        if self._areas.get(area, 0) < size:
            self._slots.reserve(inflight.frame_area(area), size)
            self._areas[area] = size

    def resume(self) -> list[Loaded]:
        """The frames a predecessor left, in the order in which they go on."""
        found = []
        for rest in self._slots.rests():
            self._areas[rest.area] = len(rest.frame)
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
        hand = self.hands.get(unpatched.get_ident())
        return hand if hand is not None else self._give()

    def _give(self) -> Hand:
        me = unpatched.get_ident()
        with self._lock:
            taken = {each.ref - REFS for each in list(self.hands.values())}
            free = next((thread for thread in range(THREADS) if thread not in taken), None)
            if free is None:
                raise IpcMulesError(
                    f"{THREADS} threads of this mule receive messages already, which is the most there can "
                    "be: receive in fewer threads and hand the messages on"
                )
            self._slots.reserve(inflight.thread_area(free), self._widest)
            # First what notices the end of the thread: a hand that stays would count as in hand for ever.
            self._ends.__dict__.setdefault("end", _End(self)).counts = True
            return self.hands.setdefault(me, Hand(self._slots, free))

    def ended(self, thread: int) -> None:
        """A thread has ended: what it held is done, and its place is free."""
        with self._lock:
            hand = self.hands.get(thread)
            if hand is not None:
                self._ended(hand)
                self.hands.pop(thread, None)

    # Frames

    def load(
        self, frame: bytes, priority: int, before: Loaded | None = None, lane: int = 0, head: int = 0
    ) -> Loaded:
        """Store a frame in a free area, where it counts once its `remaining` does. Raises FrameError.

        before: it is to be handed out before that one. lane, head: where it lay, see slots.F_LANE.
        """
        reference = frame[frames.OVERHEAD :] if frames.is_large(frame) else None
        messages = [] if reference is not None else list(frames.unpack(frame))
        sequence = next(self._sequences) if before is None else before.sequence - 1
        area = self._take_area(sequence, len(frame))
        self._reserve(area, len(frame))
        if before is not None:
            priority = before.priority
        self._slots.store(area, sequence, frame, priority, lane, head)
        return Loaded(area, sequence, priority, messages, reference)

    def _take_area(self, sequence: int, size: int) -> int:
        """An area that holds neither a loaded frame nor one a thread has a message of.

        One whose memory is reserved already, if there is one: where shared memory is full there is no other.
        """
        used, loading = self._used, self._loading
        for area, reserved in list(self._areas.items()):
            if reserved < size or area in loading:
                continue
            loading.add(area)  # first: a signal handler that receives from here on takes another one
            if area not in used or self._is_done(area, self._in_hand()):
                used[area] = sequence
                return area
            loading.discard(area)
        for area in range(FRAMES):
            if area not in used:
                used[area] = sequence
                return area
        in_hand = self._in_hand()
        for area in list(used):
            if self._is_done(area, in_hand):
                used[area] = sequence
                return area
        raise AssertionError("more frames are in hand than there are threads")

    def _is_done(self, area: int, in_hand: set[int]) -> bool:
        """True if a frame was handed out to its end, and nobody has a message of it in hand."""
        return self._used[area] not in in_hand and not self.cells[self._slots.header(area) + F_REMAINING]

    def counts(self, loaded: Loaded) -> None:
        """A frame that load() has stored counts now."""
        self._loading.discard(loaded.area)

    def _in_hand(self) -> set[int]:
        """The sequences of the frames that threads have a message of."""
        return {self.cells[each.ref] >> SEQUENCE_SHIFT for each in list(self.hands.values())}

    def room(self, loaded: list[Loaded]) -> bool:
        """True if one more frame may be loaded."""
        return len(loaded) < LOADED

    def mark(self, loaded: Loaded) -> None:
        """Store how much of a frame is left, before a thread's cell stops telling it."""
        while True:
            left = self.cells[loaded.remaining] = loaded.left()
            if loaded.left() == left:  # no handler has received in between
                return

    def release(self, loaded: Loaded) -> None:
        """A frame was handed out to its end: its area is free if no thread has a message of it."""
        if loaded.sequence not in self._in_hand() and self._used.get(loaded.area) == loaded.sequence:
            self._used.pop(loaded.area, None)

    def close(self) -> None:
        """Close the descriptor of the segment."""
        self._slots.close()
