"""The life of a process the master asked for, from the fork to its end: a mule, a spooler or a worker.

The order is that of docs/reference/processes.md: the app (loaded in the template already, or here
with --lazy-apps), the post-fork hooks, then the program, or the bodies and the wait loop. Knows
membership and the parts of mule/; says how far it is in its record of the shared table.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from ipcmules.bus import log, table
from ipcmules.bus.config import BusConfig
from ipcmules.functions import coroutines
from ipcmules.kernel import handlers, linux, processes, unpatched
from ipcmules.member import membership
from ipcmules.member.membership import Membership
from ipcmules.messages.receive.counting import CountingInbox
from ipcmules.messages.receive.inbox import Inbox
from ipcmules.process import apps, database, dispatch, ending, failures, harakiri, hooks
from ipcmules.process.mule import programs, startup, wait, worker
from ipcmules.process.record import Record
from ipcmules.process.spooler import program as spooler
from ipcmules.signals.taker import Taker

#: How long a process waits at its start for files that were removed, and how often it looks, seconds.
_PATIENCE, _LOOK = 10.0, 0.02


@dataclass(frozen=True)
class Order:
    """Which process to become, and under which master."""

    role: str
    number: int
    master: int  #: the master's pid
    forker: int  #: pid of the process that forks it, and ends when it has

    @property
    def name(self) -> str:
        """As in file names and logs: 'mule3'."""
        return f"{self.role}{self.number}"


def live(order: Order, reported: int) -> NoReturn:
    """Become the process, in a fresh fork of the template. Never returns.

    reported: a pipe that has a byte once the master is told of this process, and ends if that failed.
    """
    ending.run_and_exit(lambda: _live(order, reported), lambda error: failures.tell(order.name, error))


def _live(order: Order, reported: int) -> None:
    _wait_for_report(reported)
    _wait_for_adoption(order)
    _forget_template()
    processes.lead_group()
    member = membership.become(order.role, order.number)
    log.identify(member.where.bus, order.role, order.number)
    processes.set_title(f"ipcmules: {member.where.bus} {order.role} {order.number}")
    handlers.set_handler(signal.SIGINT, handlers.IGNORE)
    _wait_for_files(member)
    if order.role == "worker":
        _live_as_worker(member, order)
    elif order.role == "spooler":
        spooler.live(member)
    else:
        _live_as_mule(member, order)


def _wait_for_report(reported: int) -> None:
    """Go on only where the master knows of this process: else it has another one forked in its place."""
    if not os.read(reported, 1):
        os._exit(0)
    os.close(reported)


def _wait_for_adoption(order: Order) -> None:
    """Wait until the forking process has ended and the master is the parent; then follow the master.

    PR_SET_PDEATHSIG tells of the parent at that moment, and never of one that is gone already.
    """
    pause = 0.0005
    while os.getppid() == order.forker:
        unpatched.sleep(pause)
        pause = min(pause * 2, 0.01)
    linux.die_with_parent(signal.SIGTERM)
    if os.getppid() != order.master:
        os._exit(0)  # the master died meanwhile: a new one starts processes of its own


def _wait_for_files(member: Membership) -> None:
    """Somebody may just have removed the bus's directory: the master makes it again (objects/upkeep.py).

    The notify FIFO comes behind those of the processes.
    """
    deadline = time.monotonic() + _PATIENCE
    cells, ends = member.table.cells, (table.STOPPING, table.STOPPED)
    while not os.path.lexists(member.where.notify) and cells[table.H_STATE] not in ends:
        if time.monotonic() > deadline:
            return  # what is opened first says so
        unpatched.sleep(_LOOK)


def _forget_template() -> None:
    """What a fork copies from the template but does not belong to this process."""
    dispatch.after_fork()
    database.after_fork()
    for package in ("multiprocessing", "multiprocess"):
        # A Queue's feeder thread is not in this process; and the app's children are the template's.
        util = sys.modules.get(f"{package}.util")
        if util is not None:
            util._run_after_forkers()
        process = sys.modules.get(f"{package}.process")
        if process is not None:
            process._children.clear()


# Mules


def _live_as_mule(member: Membership, order: Order) -> None:
    config = member.description.config
    program = config.mules[order.number - 1]
    programmed = program.kind != "none"
    record = Record(member)
    record.open()
    harakiri.open_watch(member)
    inbox = _open_inbox(member, order.number)
    membership.receive_with(member, inbox)
    for each in (signal.SIGTERM, signal.SIGHUP):
        handlers.set_handler(each, Stopper(inbox, record, order.master))
    if member.table.cells[table.H_STATE] in (table.STOPPING, table.STOPPED):
        return  # forked while the stop began, which may not have seen this process
    if config.lazy_apps:
        apps.load(config)
    startup.run(config)
    hooks.run_post_fork(order.role, order.number, dispatch.run)
    program_entry = programs.load(program, config) if programmed else None
    if programmed:
        _say_what_is_ignored(config, order.number)
    inbox.set_shared(programmed or wait.reads_shared(member))
    record.entered()
    if program_entry is None:
        wait.serve(member, record)
    else:
        coroutines.call(program_entry)


def _say_what_is_ignored(config: BusConfig, number: int) -> None:
    """Bodies that the app gave to a programmed mule: uWSGI would run them before its program, or instead."""
    # A farm's function runs in its signal-only mules; where it has none, its first mule says so.
    farms = [
        each.name
        for each in config.farms
        if number == min(each.mules) and all(config.mules[mule - 1].kind != "none" for mule in each.mules)
    ]
    bodies = hooks.bodies_of(number, farms.__contains__)
    if bodies:
        names = ", ".join(f"{each.kind} {getattr(each.function, '__qualname__', '?')}" for each in bodies)
        log.event(
            "warning",
            f"ignored, because this mule runs {config.mules[number - 1]}: {names}; they run in signal-only "
            "mules: give them one (--mule without a program)",
        )


def _open_inbox(member: Membership, number: int) -> Inbox:
    layout = member.table.layout
    endpoints = [(f"mule{number}", layout.mule_endpoint(number)), ("mule0", layout.mule_pool)]
    for index, each in enumerate(member.description.config.farms, 1):
        if number in each.mules:
            endpoints.append((f"farm.{each.name}", layout.farm_endpoint(index)))
    taker = Taker(member.where, member.table, endpoints)
    config = member.description.config
    limit = config.max_messages
    if number in config.cluster_mules or any(number in each.mules for each in config.cluster_farms):
        from ipcmules.messages.receive.lettered import CountingLetteredInbox, LetteredInbox

        if limit:
            return CountingLetteredInbox(member.where, member.description, member.table, number, taker, limit)
        return LetteredInbox(member.where, member.description, member.table, number, taker)
    if limit:
        return CountingInbox(member.where, member.description, member.table, number, taker, limit)
    return Inbox(member.where, member.description, member.table, number, taker)


class Stopper:
    """SIGTERM in a mule: a stop, a reload, or the master's death. SIGHUP: another is to take its place.

    A mule that receives ends in its next receive. One that has not come so far, or never receives, has
    nothing in hand and ends at once. Other threads are not interrupted.
    """

    def __init__(self, inbox: Inbox, record: Record, master: int) -> None:
        self._inbox = inbox
        self._record = record
        self._master = master

    def __call__(self, signum: int, _frame: FrameType | None) -> None:
        """The handler of SIGTERM and SIGHUP."""
        # Without a master nobody waits for the queues to be drained: what is queued stays for the next one.
        # And a mule that is replaced leaves it to its successor.
        replaced = signum == signal.SIGHUP or self._record.is_reloaded
        self._inbox.stop(drain=os.getppid() == self._master and not replaced)
        if not self._inbox.used and self._record.state in (table.LOADING, table.ENTERED):
            raise SystemExit(0)


# Workers


def _live_as_worker(member: Membership, order: Order) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    worker.claim(member)
    harakiri.open_watch(member)
    startup.run_in_worker(member.description.config)  # uWSGI's run before an app is loaded
    if member.description.config.lazy_apps:
        apps.load(member.description.config)
    hooks.run_post_fork(order.role, order.number, dispatch.run)
    worker.serve(member)
