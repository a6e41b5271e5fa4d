"""epoll and poll of the operating system: gevent takes the one away and makes the other its loop's.

Apart from unpatched.py, which every process of an app imports: only who waits needs these.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

from ipcmules.kernel import unpatched

__all__ = ["epoll", "poll"]

if TYPE_CHECKING:
    from select import epoll, poll
else:
    epoll = unpatched.original(select, "epoll")
    poll = unpatched.original(select, "poll")
