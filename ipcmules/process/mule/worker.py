"""A worker that the master started (--processes N): it has loaded the app and serves signals.

Its stop is simple: no messages, so SIGTERM lets the handler that runs end, takes the signals that are
pending, and ends the process.
"""

from __future__ import annotations

import signal
import time
from types import FrameType

from ipcmules.bus import table
from ipcmules.kernel.notify import tell_master
from ipcmules.member import workers
from ipcmules.member.membership import Membership
from ipcmules.member.serving import BusGone, Waiter
from ipcmules.process import database, dispatch


def claim(member: Membership) -> None:
    """Take the number this worker was started with."""
    workers.claim(member, member.number)


def serve(member: Membership) -> None:
    """Serve signals until SIGTERM, or until the master has ended."""
    waiter = Waiter(member)
    stopping = False

    def stop(_signum: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        waiter.wake()

    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, stop)
    cells, record = member.table.cells, member.table.worker(member.number)
    cells[record + table.R_ENTERED] = time.monotonic_ns()
    tell_master(member.where.notify)
    try:
        while not stopping:
            taken = waiter.take(None)
            if taken is not None:
                _run(taken)
        while (taken := waiter.take_now()) is not None:
            _run(taken)
    except BusGone:
        return
    finally:
        waiter.close()


def _run(shared: int) -> None:
    database.refresh()
    dispatch.run_signal(shared)
    database.refresh()
