"""The life of a spooler, from its fork to its end: what it loads, and how it is stopped.

The order is that of a mule: the app, the post-fork hooks, then the tasks. Knows the parts of spooling/ and
says how far it is in its record of the shared table.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

from ipcmules.bus import log, table
from ipcmules.bus.config import BusConfig
from ipcmules.kernel import kill
from ipcmules.member.membership import Membership
from ipcmules.process import apps, dispatch, harakiri, hooks
from ipcmules.process.record import Record
from ipcmules.process.spooler.waking import Waking
from ipcmules.process.spooler.work import Loop


def live(member: Membership) -> None:
    """Be the spooler that `member` says. Returns when it is to end; SystemExit goes on."""
    config = member.description.config
    directory = config.spooler_homes[member.number - 1]
    record = Record(member)
    record.open()
    for cell in (table.S_TASK, table.S_HAND, table.S_NEXT):
        member.table.cells[member.table.spooler(member.number) + cell] = 0
    harakiri.open_watch(member)
    waking = Waking(member, directory)
    stopper = Stopper(waking, record)
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, stopper)
    if member.table.cells[table.H_STATE] in (table.STOPPING, table.STOPPED):
        return  # forked while the stop began, which may not have seen this process
    _be_nice(config)
    if config.lazy_apps:
        apps.load(config)
    for name in config.spooler_imports:
        apps.load_one(name)
    hooks.run_post_fork("spooler", member.number, dispatch.run)
    loop = Loop(member, directory, waking)
    stopper.loop = loop
    record.entered()
    if not stopper.told:
        loop.run()


def _be_nice(config: BusConfig) -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, 0, config.spooler_nice)
    except OSError as error:
        log.event("warning", f"--spooler-nice {config.spooler_nice}: {error.strerror}; not changed")


class Stopper:
    """SIGTERM in a spooler: a stop, a reload, or the master's death. The task in hand is finished, no other
    begun.

    One that still loads has nothing in hand and ends at once. A child that a task forked has this handler
    too, and ends as if it had none: what its parent holds is not its business.
    """

    def __init__(self, waking: Waking, record: Record) -> None:
        self._pid = os.getpid()
        self._waking = waking
        self._record = record
        self.loop: Loop | None = None
        self.told = False

    def __call__(self, signum: int, _frame: FrameType | None) -> None:
        """The handler of SIGTERM and SIGHUP: end after the task in hand."""
        if os.getpid() != self._pid:
            signal.signal(signum, signal.SIG_DFL)
            kill.send_to_self(signum)
            return
        self.told = True
        self._waking.stop()
        if self.loop is not None:
            self.loop.stop()
        elif self._record.state in (table.LOADING, table.ENTERED):
            raise SystemExit(0)
