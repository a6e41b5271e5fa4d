"""Signals that mean nothing to a process of a bus, and would end it all the same: scripts send them to whole
groups.

uWSGI prints its statistics on SIGUSR1, gunicorn opens its log files again, and scripts for log rotation send
it, and SIGUSR2, to whatever looks like a server. Knows signals alone.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable
from types import FrameType

#: For processes that run code of applications: with the others these ask for their own end, signal.alarm().
USER = (signal.SIGUSR1, signal.SIGUSR2)
#: For processes that run none.
ALL = (*USER, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO)


def ignore(numbers: Iterable[int] = ALL) -> None:
    """Have these signals do nothing, but for those that have a handler. Main thread only."""
    for each in numbers:
        if signal.getsignal(each) == signal.SIG_DFL:
            # Not SIG_IGN, which every program that is started from here would inherit (execve(2)).
            signal.signal(each, _nothing)


def _nothing(_signum: int, _frame: FrameType | None) -> None:
    pass
