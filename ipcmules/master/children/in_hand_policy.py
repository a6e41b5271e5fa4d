"""What becomes of a message that a mule had in hand when it died: --on-mule-death.

Called once a message and death, before the in-flight slot forgets it. Knows kept messages and the
configuration; feeder.py does the queueing.
"""

from __future__ import annotations

from collections.abc import Callable

from ipcmules.bus import log
from ipcmules.bus.config import BusConfig
from ipcmules.bus.places import Places
from ipcmules.cluster import letters
from ipcmules.messages import kept
from ipcmules.messages.in_hand import Left


def put_away(
    where: Places,
    config: BusConfig,
    reason: str,
    process: str,
    left: Left,
    requeue: Callable[[str], object] | None = None,
) -> None:
    """Keep, requeue or drop a message.

    reason: what happened to the process, for people. process: its name, e.g. 'mule3'. requeue(path) is
    called with the file of a message that is to be queued again; without it the next start does that.
    Raises OSError where neither the state directory nor shared memory takes it: it must stay where it is.
    """
    letter = letters.opened(where, left.data)
    if letter is not None:
        from ipcmules.cluster import outbox

        outbox.hand_back(where, letter)
        log.event(
            "warning",
            f"a message of {len(letter.body)} bytes to {left.endpoint} goes back to the cluster: {reason}",
        )
        return
    size, attempts = len(left.data), left.attempts + 1
    if config.on_mule_death == "drop":
        log.event("warning", f"a message of {size} bytes to {left.endpoint} is dropped: {reason}")
        return
    if config.on_mule_death == "requeue" and attempts <= config.max_requeues:
        path = kept.store(
            where, left.data, left.endpoint, reason, process, attempts=attempts, again=True, patience=0
        )
        log.event(
            "warning",
            f"a message of {size} bytes to {left.endpoint} is queued again "
            f"({attempts} of at most {config.max_requeues} times): {reason}",
        )
        if requeue is not None:
            requeue(path)
    else:
        kept.keep(where, left.data, left.endpoint, reason, process, attempts=attempts, patience=0)
