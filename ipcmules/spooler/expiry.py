"""When a task is too late to be begun, by its function's `expires`. Knows a task's name and arguments."""

from __future__ import annotations

import time
from collections.abc import Mapping

from ipcmules.spooler import names


def late_by(expires: float, name: str, arguments: Mapping[bytes, bytes]) -> float:
    """For how many seconds a task should have been begun, which may be so many seconds old; 0.0 if it may be
    begun yet. expires: 0.0 for no limit."""
    if not expires:
        return 0.0
    try:
        at = float(arguments.get(b"at", b"0"))
    except ValueError:
        at = 0.0
    enqueued = (names.fifo_key(name) or 0) / 1e6
    since = max(enqueued, at)
    return max(0.0, time.time() - since - expires) if since else 0.0
