"""A mule's receiving side, and its wait loop for signals.

Knows queues, frames, the in-flight slots and the table; signals only as a taker that it is given and a
function to call. Several threads may receive at once. What a thread has in hand stands in the in-flight slots
until its next receive.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from time import monotonic, monotonic_ns
from typing import NoReturn, Protocol

import posix_ipc

from ipcmules import table
from ipcmules.description import Description
from ipcmules.errors import IpcMulesError, NotAMule
from ipcmules.messages import frames, inflight, kept, large, post, queues
from ipcmules.messages.hand import Hand, Hands, Loaded
from ipcmules.messages.sources import Sources
from ipcmules.places import Places
from ipcmules.table import (
    R_CHANGED,
    R_LISTENING,
    R_MESSAGES,
    R_READER,
    R_STATE,
    R_URGENT,
    READS_OWN,
    READS_SHARED,
    Table,
)

#: Between two messages of a frame the other sources are looked at if this many seconds have passed.
LOOK = 0.001
#: After recent activity a receiver yields and looks for so long before it sleeps, in seconds.
SPIN = 0.00005
#: Recent means: the last message or signal came within so many seconds before.
RECENT = 0.0005

#: In place of a ready descriptor: the time is over; a signal is there whose wake-up was lost.
_NONE, _PENDING = -1, -2

_Busy = posix_ipc.BusyError
_get_ident = threading.get_ident
_yield = os.sched_yield
Dispatch = Callable[[int], None]


class Taker(Protocol):
    """Where signals come from (ipcmules.signals.taker)."""

    @property
    def sources(self) -> Sequence[tuple[int, bool]]:
        """Descriptors, and whether other processes wait for them too."""

    def take(self, descriptor: int) -> object:
        """At most one signal: its number, None, or anything else to say: look at every source."""

    def pending(self) -> bool:
        """True if a signal may be there whose wake-up was lost."""


class Inbox:
    """The receiving side of one mule. One a process."""

    def __init__(
        self, where: Places, description: Description, shared: Table, number: int, taker: Taker
    ) -> None:
        self._where = where
        self._description = description
        self._number = number
        self._taker = taker
        self._cells = shared.cells
        self._record = shared.mule(number)
        self._messages = self._cells[self._record + R_MESSAGES]
        self._lock = threading.Lock()
        self._reads_shared = True
        self._stopping = 0
        self._waiting = 0
        self._slept = False
        self._last = 0.0
        self._turn = False
        #: A queue that had a message at once the last time: tried first, without asking epoll, until this time.
        self._streak = _NONE
        self._streak_key: object = None
        self._streak_until = 0.0

        config = description.config
        names = [
            f"mule{number}",
            "pool",
            *(f"farm.{each.name}" for each in config.farms if number in each.mules),
        ]
        every = ["pool", *(f"farm.{each.name}" for each in config.farms)]
        #: The receive of each queue, and the number of its source in the in-flight slots, by descriptor.
        self._queues: dict[int, tuple[Callable[[], tuple[bytes, int]], int]] = {}
        self._by_name: dict[str, int] = {}
        widest = 0
        for name in names:
            spec = description.queue(name)
            if spec is None:
                raise NotAMule(
                    f"bus {where.bus!r} has no queue {name!r}: mule {number} is not one of its mules"
                )
            queue = queues.open_queue(spec)
            self._queues[queue.mqd] = (queue.receive, 0 if name == names[0] else 1 + every.index(name))
            self._by_name[name] = queue.mqd
            widest = max(widest, spec.size)
        self._own = self._by_name[names[0]]
        self._receive_own = self._queues[self._own][0]
        self._shared_queues = [self._by_name[name] for name in names[1:]]

        self._stop = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._sources: dict[object, Sources] = {}

        self._hands = Hands(inflight.Slots(where, number), widest)
        self._hand_cells = self._hands.cells
        #: First the frame that is being handed out, then those behind it.
        self._loaded: list[Loaded] = self._hands.resume()
        #: Cell number by thread, for the common path.
        self._refs: dict[int, int] = {}
        self._pairs: Iterable[tuple[int, bytes]] = iter(())
        #: The common path of get() is taken until this time; 0 when nothing is loaded.
        self._look_at = 0.0
        if self._loaded:
            self._hand_out(self._loaded[0])

    # Receiving

    def get(self, timeout: float | None, signals: bool, farms: bool, dispatch: Dispatch) -> bytes | None:
        """The next message to this mule, the pool or (with farms) one of its farms.

        timeout in seconds: None waits for ever, 0 looks once. With signals, dispatch(number) is called for
        each signal that comes meanwhile. Returns None when the time is over. Raises SystemExit once stop()
        was called and nothing is left; a thread that calls again after that ends the process.
        """
        if monotonic() < self._look_at:
            ref = self._refs.get(_get_ident())
            if ref is not None:
                for mark, data in self._pairs:
                    self._hand_cells[ref] = mark
                    return data
        return self._receive(timeout, (signals, farms), dispatch)

    def get_farm(self, timeout: float | None, name: str | None = None) -> bytes | None:
        """The next message to one of this mule's farms, or to the named one. As get(), without signals.

        Raises NotAMule if the mule is in no farm, or not in that one.
        """
        if name is not None and f"farm.{name}" not in self._by_name:
            raise NotAMule(f"mule {self._number} is not in farm {name!r}")
        if len(self._shared_queues) < 2:
            raise NotAMule(f"mule {self._number} is in no farm")
        return self._receive(timeout, ("farm", name), _nothing)

    def _receive(self, timeout: float | None, key: tuple[object, object], dispatch: Dispatch) -> bytes | None:
        hand = self._hands.of_thread(self._refs)
        if hand.cells[hand.ref]:
            self._done_with(hand)
        if self._streak != _NONE:
            data = self._receive_again(key, hand, dispatch)
            if data is not None:
                return data
        deadline = None if timeout is None else monotonic() + timeout
        farm_only = key[0] == "farm"
        while True:
            if self._stopping:
                return self._receive_stopping(hand, key, dispatch)
            if self._loaded and not farm_only:
                data = self._receive_loaded(hand, key, dispatch)
                if data is not None:
                    return data
                continue
            sources = self._waited_for(key)
            events = sources.poll(0, 1)
            descriptor = events[0][0] if events else self._wait(sources, deadline)
            if descriptor == _NONE:
                return None
            data = self._take(descriptor, hand, dispatch)
            if data is not None:
                self._last = now = monotonic()
                if events:
                    self._streak, self._streak_key, self._streak_until = descriptor, key, now + LOOK
                return data

    def _receive_again(self, key: object, hand: Hand, dispatch: Dispatch) -> bytes | None:
        """Try the queue that had a message the last time, as long as the other sources are looked at often enough."""
        if (
            key == self._streak_key
            and not self._loaded
            and not self._stopping
            and monotonic() < self._streak_until
        ):
            data = self._take(self._streak, hand, dispatch)
            if data is not None:
                return data
        self._streak = _NONE
        return None

    def _waited_for(self, key: tuple[object, object]) -> Sources:
        found = self._sources.get(key)
        return found if found is not None else self._make_sources(key)

    def _make_sources(self, key: tuple[object, object]) -> Sources:
        signals, farms = key
        shared: list[int] = []
        own: list[int] = []
        if signals is True:
            for descriptor, others in self._taker.sources:
                (shared if others else own).append(descriptor)
        signalling = [*shared, *own]
        own.append(self._stop)
        reads: list[int] = []
        if signals == "farm":
            reads = [self._by_name[f"farm.{farms}"]] if farms else self._shared_queues[1:]
        elif farms is not None:
            own += (self._own, self._wake)
            if self._reads_shared:
                reads = self._shared_queues if farms else self._shared_queues[:1]
        made = Sources([*shared, *reads], own, signalling, reads)
        self._sources[key] = made
        return made

    def _wait(self, sources: Sources, deadline: float | None) -> int:
        """The first ready descriptor, waiting for it; _NONE when the deadline is over, _PENDING: see every signal source."""
        poll = sources.poll
        now = monotonic()
        if deadline is not None and now >= deadline:
            self._rest()
            return _NONE
        if now - self._last < RECENT:
            until = now + SPIN
            while now < until:
                _yield()
                events = poll(0, 1)
                if events:
                    return events[0][0]
                now = monotonic()
        return self._sleep(sources, deadline)

    def _rest(self) -> None:
        """Nothing to do for now: what other processes read in the table is brought up to date."""
        cells, record = self._cells, self._record
        cells[record + R_MESSAGES] = self._messages
        cells[record + R_STATE] = table.WAITING
        cells[record + R_CHANGED] = monotonic_ns()
        if not self._slept:
            self._slept = True
            _tell(self._where.notify)

    def _sleep(self, sources: Sources, deadline: float | None) -> int:
        if sources.signals and self._taker.pending():
            return _PENDING
        self._rest()
        with self._lock:
            self._waiting += 1
            if self._loaded and len(self._refs) > 1:
                os.eventfd_write(self._wake, 1)
        try:
            left = -1 if deadline is None else max(deadline - monotonic(), 0.0)
            events = sources.poll(left, 1)
        finally:
            with self._lock:
                self._waiting -= 1
            self._cells[self._record + R_STATE] = table.BUSY
            self._cells[self._record + R_CHANGED] = monotonic_ns()
        return events[0][0] if events else _NONE

    def _take(self, descriptor: int, hand: Hand, dispatch: Dispatch) -> bytes | None:
        """What a ready source has: a message, or None after a signal was handled or when another was faster."""
        if descriptor == self._own:
            return self._take_own(hand)
        queue = self._queues.get(descriptor)
        if queue is not None:
            return self._take_shared(queue, hand)
        if descriptor == self._wake:
            return self._take_left(hand)
        if descriptor == _PENDING:
            for each, _ in self._taker.sources:
                self._take_signal(each, hand, dispatch)
        elif descriptor != self._stop:
            self._take_signal(descriptor, hand, dispatch)
        return None

    def _take_shared(self, queue: tuple[Callable[[], tuple[bytes, int]], int], hand: Hand) -> bytes | None:
        receive, source = queue
        try:
            frame, _ = receive()
        except _Busy:
            return None
        self._count(1)
        return self._into_hand(frame, source, hand)

    def _take_own(self, hand: Hand) -> bytes | None:
        # With the lock, so that threads load frames in the order in which they came.
        with self._lock:
            if self._loaded:
                return None  # another thread was faster: there is something in front of what the queue has
            try:
                frame, priority = self._receive_own()
            except _Busy:
                return None
            if frame[:2] == frames.SINGLE or frame[:2] == frames.LARGE:
                self._count(1)
                return self._into_hand(frame, 0, hand)
            self._load(frame, priority)
        return None

    def _take_left(self, hand: Hand) -> bytes | None:
        """Another thread has loaded a frame, or what is read has changed."""
        if not self._loaded:
            try:
                os.eventfd_read(self._wake)
            except BlockingIOError:
                pass
        return None

    def _into_hand(self, frame: bytes, source: int, hand: Hand) -> bytes | None:
        """Record a message that came alone and return it; None if it was nothing that could be delivered."""
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

    # Frames of several messages

    def _load(self, frame: bytes, priority: int) -> None:
        """With the lock held: hand out a frame's messages from now on, more urgent ones before others."""
        try:
            loaded = self._hands.load(frame, priority)
        except IpcMulesError as error:
            kept.keep(self._where, frame, f"mule{self._number}", f"not deliverable: {error}")
            return
        self._count(loaded.left())
        place = len(self._loaded)
        while place and self._loaded[place - 1].priority < priority:
            place -= 1
        self._loaded.insert(place, loaded)
        if place == 0:
            self._hand_out(loaded)
        if self._waiting:
            os.eventfd_write(self._wake, 1)

    def _hand_out(self, loaded: Loaded) -> None:
        self._pairs = loaded.pairs
        self._look_at = monotonic() + LOOK

    def _receive_loaded(self, hand: Hand, key: tuple[object, object], dispatch: Dispatch) -> bytes | None:
        """The next loaded message, after a look at the other sources if it is time; None to look again."""
        now = monotonic()
        if now >= self._look_at:
            data = self._glance(self._waited_for(key), hand, dispatch)
            if data is not None or self._stopping:
                return data
        return self._from_loaded(hand)

    def _from_loaded(self, hand: Hand) -> bytes | None:
        with self._lock:
            self._look_at = 0.0 if self._stopping else monotonic() + LOOK
            while self._loaded:
                current = self._loaded[0]
                if current.reference is not None:
                    self._next_loaded()
                    self._hands.release(current)
                    return self._into_hand(frames.large(current.reference), 0, hand)
                for mark, data in current.pairs:
                    hand.cells[hand.ref] = mark
                    return data
                self._next_loaded()
                self._hands.release(current)
            self._look_at = 0.0
            self._last = monotonic()
        return None

    def _next_loaded(self) -> None:
        """With the lock held: the first loaded frame is handed out."""
        del self._loaded[0]
        self._pairs = self._loaded[0].pairs if self._loaded else iter(())

    def _glance(self, sources: Sources, hand: Hand, dispatch: Dispatch) -> bytes | None:
        """Between buffered messages: handle signals, and take one message that is more urgent or has its turn."""
        self._cells[self._record + R_MESSAGES] = self._messages
        self._turn = not self._turn
        for descriptor in sources.ready():
            queue = self._queues.get(descriptor)
            if queue is None:
                while self._take_signal(descriptor, hand, dispatch) and not self._stopping:
                    pass
            elif self._turn and not self._cells[self._record + R_URGENT]:
                data = self._take_shared(queue, hand)
                if data is not None:
                    return data
        if self._cells[self._record + R_URGENT]:
            self._take_urgent()
        return None

    def _take_urgent(self) -> None:
        """A message with a priority came into our own queue: load what is first there."""
        with self._lock:
            self._cells[self._record + R_URGENT] = 0
            if not self._hands.room(self._loaded):
                self._cells[self._record + R_URGENT] = 1  # look again when a frame is through
                return
            try:
                frame, priority = self._receive_own()
            except _Busy:
                return
            self._load(frame, priority)

    # Done

    def _done_with(self, hand: Hand) -> None:
        if self._loaded:
            with self._lock:
                for each in self._loaded:
                    self._hands.mark(each)
        hand.empty()

    def done(self, everything: bool = False) -> None:
        """Mark what this thread has in hand as done; with everything, what any thread has.

        For a process that ends with code 0: without this it counts as left behind.
        """
        with self._lock:
            for each in self._loaded:
                self._hands.mark(each)
            self._hands.empty(None if everything else _get_ident())

    def _count(self, number: int) -> None:
        self._messages += number

    # Signals

    def _take_signal(self, descriptor: int, hand: Hand, dispatch: Dispatch) -> bool:
        """Take one signal and handle it. True if there may be more."""
        taken = self._taker.take(descriptor)
        if isinstance(taken, int):
            self._cells[self._record + R_STATE] = table.BUSY
            dispatch(taken)
            if hand.holds():
                self._done_with(hand)  # the handler received something itself
            self._last = monotonic()
            return True
        if taken is not None:
            self._rearm()
        return False

    def _rearm(self) -> None:
        """A wake-up may have been lost with a killed mule: look at every shared source again."""
        with self._lock:
            for each in self._sources.values():
                each.rearm()

    def wait_signal(self, timeout: float | None) -> int | None:
        """Wait for a signal and return its number, without handling it. None when timeout seconds are over.

        What this thread has in hand stays in hand. Raises SystemExit once stop() was called and none is left.
        """
        deadline = None if timeout is None else monotonic() + timeout
        key = (True, None)
        cells, record = self._cells, self._record
        cells[record + R_LISTENING] = 1
        try:
            while True:
                sources = self._waited_for(key)
                if self._stopping:
                    taken = self._pending_signal(sources)
                    if taken is None:
                        self._exit(self._hands.of_thread(self._refs))
                    return taken
                events = sources.poll(0, 1)
                descriptor = events[0][0] if events else self._wait(sources, deadline)
                if descriptor == _NONE:
                    return None
                taken = (
                    self._pending_signal(sources) if descriptor == _PENDING else self._signal_from(descriptor)
                )
                if taken is not None:
                    self._last = monotonic()
                    return taken
        finally:
            cells[record + R_LISTENING] = 0

    def _signal_from(self, descriptor: int) -> int | None:
        if descriptor == self._stop:
            return None
        taken = self._taker.take(descriptor)
        if isinstance(taken, int):
            return taken
        if taken is not None:
            self._rearm()
        return None

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
        self._look_at = 0.0
        os.eventfd_write(self._stop, 1)

    def _receive_stopping(self, hand: Hand, key: tuple[object, object], dispatch: Dispatch) -> bytes | None:
        sources = self._waited_for(key)
        while self._stopping < 2:
            busy = False
            for descriptor in sources.all:
                if descriptor not in self._queues and descriptor not in (self._stop, self._wake):
                    while self._take_signal(descriptor, hand, dispatch):
                        busy = True
            if self._loaded and key[0] != "farm":
                data = self._from_loaded(hand)
                if data is not None:
                    return data
            for descriptor in sources.all:
                if descriptor in self._queues:
                    data = self._take(descriptor, hand, dispatch)
                    if data is not None:
                        return data
            if not busy and (not self._loaded or key[0] == "farm"):
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
        return bool(self._refs)

    def set_shared(self, reads: bool) -> None:
        """Whether this mule reads the pool's and its farms' queues; senders see it in the table."""
        with self._lock:
            self._cells[self._record + R_READER] = READS_OWN | (READS_SHARED if reads else 0)
            if reads == self._reads_shared:
                return
            self._reads_shared = reads
            # Not closed: another thread may be waiting at them.
            self._sources = {}
            os.eventfd_write(self._wake, 1)

    def fileno(self) -> int:
        """A descriptor that is readable when get(0, True, True, ...) may have something. The same until set_shared()."""
        return self._waited_for((True, True)).fileno()

    def close(self) -> None:
        """Close what can be closed; for tests, and for a process that stops being a mule."""
        for each in self._sources.values():
            each.close()
        for descriptor in (*self._queues, self._stop, self._wake):
            os.close(descriptor)
        self._hands.close()


def _nothing(_signum: int) -> None:
    pass


def _tell(path: str) -> None:
    """Have the master look at the table, if there is one."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(descriptor, b"w")
    except OSError:
        pass  # full: it has not looked yet, and will
    finally:
        os.close(descriptor)
