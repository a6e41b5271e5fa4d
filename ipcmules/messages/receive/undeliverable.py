"""What cannot be handed out as it came: no good frame, no memory for one, a large message that waits.

Knows frames, large messages and where undeliverable ones are kept.
"""

from __future__ import annotations

from ipcmules.bus import log
from ipcmules.bus.places import Places
from ipcmules.kernel import exhaustion, unpatched
from ipcmules.messages import frames, in_hand, kept, large

#: How long it takes until what the system refused is tried again, seconds.
REFUSED = 0.05


class Undeliverable:
    """Keeps what one mule cannot be given."""

    def __init__(self, where: Places, number: int) -> None:
        self._where = where
        self._number = number

    def check_alone(self, frame: bytes, source: int) -> None:
        """Raise FrameError for what a shared queue must not carry: a frame of several messages, or none."""
        if frames.is_large(frame):
            return
        frames.unpack(frame)
        endpoint = in_hand.endpoint_of(self._where, self._number, source)
        raise frames.FrameError(f"{endpoint} is shared and carries one message a frame, this one has more")

    def keep(self, frame: bytes, source: int, error: Exception) -> None:
        """Keep what is no good frame as it is. source: the number of its queue."""
        endpoint = in_hand.endpoint_of(self._where, self._number, source)
        kept.keep(self._where, frame, endpoint, f"not deliverable: {error}")

    def keep_each(self, frame: bytes, source: int, error: Exception) -> None:
        """The frame is a good one, and there is no memory for it: what is in it is kept, not the frame."""
        endpoint = in_hand.endpoint_of(self._where, self._number, source)
        is_large = frames.is_large(frame)
        messages = [peek(frame[frames.OVERHEAD :])] if is_large else frames.unpack(frame)
        for data in messages:
            kept.keep(self._where, data, endpoint, f"not deliverable: {error}")
        if is_large:
            large.discard(frame[frames.OVERHEAD :])


def peek(reference: bytes) -> bytes:
    """A large message. Where the system refuses to open it, it is there all the same: wait until it can."""
    said = False
    while True:
        try:
            return large.peek(reference)
        except OSError as error:
            if not exhaustion.refused(error):
                raise
            if not said:
                log.event(
                    "warning", f"a large message waits: {exhaustion.explain(error, 'it cannot be opened')}"
                )
            said = True
        unpatched.sleep(REFUSED)
