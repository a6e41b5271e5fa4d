"""Loaded with --import: the mules of this bus keep no record of what they have in hand, for one measure.

What a killed mule of such a bus held is lost without a trace, so there is no option for it. The functions are
those of messages/hand.py and messages/handout.py without their stores into the in-flight slots.
"""

from __future__ import annotations

import threading
from time import monotonic

from ipcmules.messages.hand import Hand
from ipcmules.messages.handout import Handout

_get_ident = threading.get_ident


def put(self: Hand, data: bytes, source: int) -> None:
    """Hand.put() without taking note."""


def next_message(self: Handout) -> bytes | None:
    """Handout.next() without taking note."""
    if self.loaded and monotonic() < self.look_at:
        ref = self._refs.get(_get_ident())
        if ref is not None:
            for _mark, data in self._pairs:
                return data
    return None


Hand.put = put  # type: ignore[method-assign] # see above
Handout.next = next_message  # type: ignore[method-assign] # see above
