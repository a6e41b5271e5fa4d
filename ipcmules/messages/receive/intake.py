"""Taking frames out of a mule's queues, and records out of the lanes behind them: into a thread's hand, or to
where they are handed out.

Knows the queues, the lanes and the handout; not when a queue is read. What lies in a lane is taken only when
the queue was seen to be empty after that had been seen in the lane: what its sender put into the queue is
older. A step of a queue's iterator and the line after it, which has no call, are one for signal handlers
(ipcmules.kernel.interruption).
"""

from __future__ import annotations

from time import monotonic

import posix_ipc

from ipcmules.messages import frames
from ipcmules.messages.lanes.directory import H_USED
from ipcmules.messages.lanes.shared import SharedLanes
from ipcmules.messages.receive.behind import Behind
from ipcmules.messages.receive.boxes import Boxes
from ipcmules.messages.receive.hand import Hand
from ipcmules.messages.receive.handout import LOOK, Handout
from ipcmules.messages.receive.loading import OWN_QUEUE
from ipcmules.messages.receive.records import take_claim

_Busy = posix_ipc.BusyError
#: The kinds of frames with one message.
_ALONE = (frames.SINGLE, frames.LARGE)
_WAKE = frames.WAKE


class Intake:
    """The queues of one mule, as its threads empty them."""

    def __init__(self, boxes: Boxes, behind: Behind, handout: Handout) -> None:
        self._behind = behind
        self._handout = handout
        self._arrived = handout.arrived
        self._lock = handout.lock
        self._boxes = boxes.all
        self._own = boxes.own
        self._own_steps = boxes.all[boxes.own][0]

    def take(self, descriptor: int, hand: Hand) -> bool:
        """Take the message that a ready queue has in hand; False if it is no queue, or another was faster."""
        if descriptor != self._own:
            box = self._boxes.get(descriptor)
            return False if box is None else self.take_shared(descriptor, hand)
        handout, arrived = self._handout, self._arrived
        # With the lock, so that threads load frames in the order in which they came.
        with self._lock:
            if handout.loaded:
                return False  # another thread was faster: there is something in front of what the queue has
            if not arrived and not self._take_own():
                if handout.loaded:  # what lay in a lane
                    hand.next_look = monotonic() + LOOK
                    handout.take(hand)
                return hand.given is not None
            kind = arrived[0][0][:2] if arrived else None
            if kind in _ALONE:
                handout.give(arrived, hand)
            elif kind is not None:
                hand.next_look = monotonic() + LOOK
                handout.load()
        return hand.given is not None

    def _take_own(self) -> bool:
        """With the lock held: what the queue has arrives; where it is empty, what was in a lane is loaded."""
        arrived, behind = self._arrived, self._behind
        bell = behind.bells[self._own]
        while not arrived:
            # As behind.used, here and below: what a quick answer comes to has as few calls as can be.
            batch = behind.own.batch() if behind.cells[H_USED] else None
            try:
                for frame, priority in self._own_steps:
                    if frame != _WAKE:
                        arrived += [(frame, priority, OWN_QUEUE)]
                    else:
                        # It was to wake somebody, who may sleep on: senders see that they must ring again.
                        behind.cells[bell] += 2
                        behind.stirred()
                    break
            except _Busy:
                if batch is not None:
                    self._handout.load_batch(batch, behind.cells)
                return False
        return True

    def take_shared(self, descriptor: int, hand: Hand) -> bool:
        """Take a message of the pool's or a farm's queue in hand; False if another was faster."""
        steps, source = self._boxes[descriptor]
        behind, came = self._behind, hand.came
        lanes, bell = behind.shared[descriptor], behind.bells[descriptor]
        used = behind.cells[H_USED] and lanes.used
        while not came:
            if used and self._take_record(lanes, hand):
                break
            seen = lanes.see() if used else []
            try:
                for frame, priority in steps:
                    if frame != _WAKE:
                        came += [(frame, priority, source)]
                        if seen:
                            behind.pass_on(descriptor)
                    else:
                        # As in _take_own().
                        behind.cells[bell] += 2
                        behind.stirred()
                        lanes.forget()
                    break
            except _Busy:
                if not seen:
                    return False
                lanes.allow(seen)
                if not self._take_record(lanes, hand):
                    return False
                if lanes.has_more(seen):
                    behind.pass_on(descriptor)
                break
        if came:
            self._handout.give(came, hand)
        return hand.given is not None

    def _take_record(self, lanes: SharedLanes, hand: Hand) -> bool:
        """Claim a record that may be taken. True if it is in hand, or came if it is large."""
        if not lanes.take(hand):
            return False
        record = hand.won[-1][1] if hand.won else None
        take_claim(self._handout, hand)
        if record is not None:
            lanes.passed(record)
            # The next ones may come the short way, as long as allow() has said.
            hand.position = next(iter(lanes.ready), None)
            if hand.position is not None:
                hand.position.arm()
            hand.until = hand.next_look = lanes.until
        return hand.given is not None or bool(hand.came)

    def take_urgent(self, cells: memoryview, urgent: int) -> None:
        """A message with a priority came into this mule's own queue: load what is first there.

        urgent: the cell that says so.
        """
        with self._lock:
            cells[urgent] = 0
            if not self._handout.room():
                cells[urgent] = 1  # look again when a frame is through
                return
            loaded, behind = self._handout.loaded, self._behind
            batch = behind.own.batch(0) if behind.used else None
            if batch is not None:
                cells[urgent] = 1  # as long as there is any: it is to overtake all that is loaded behind it
                if loaded and loaded[0].priority >= batch.priority:
                    batch = None
            # What was there before that look says nothing of what the queue has by now.
            older = bool(self._arrived)
            if not self._take_own():
                return
            first = self._arrived[0] if self._arrived else None
            if batch is not None and first is not None and not older and first[1] < batch.priority:
                # A queue gives the most urgent one first: it has nothing that is older than the batch.
                self._handout.load_batch(batch, behind.cells)
            self._handout.load()
