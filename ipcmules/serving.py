"""Serving signals in a process that is no mule: the wait loop, and the daemon thread that runs it.

A process takes its worker number when it begins to serve, and gives it back when it stops. What to do
with a signal is passed in (`dispatch`), so this knows waiting, not handlers.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable

from ipcmules import workers
from ipcmules.membership import Membership
from ipcmules.processes import ProcessId
from ipcmules.signals.taker import Taker
from ipcmules.table import H_STATE, R_LISTENING, STOPPED

Dispatch = Callable[[int], None]


class BusGone(Exception):
    """Internal: the master of the bus being waited on has ended."""


class Waiter:
    """Waits for the signals of one worker number. One a process; any thread may wait."""

    def __init__(self, member: Membership) -> None:
        number = workers.claim(member)
        layout = member.table.layout
        self.member = member
        self._taker = Taker(
            member.where,
            member.table,
            [(f"worker{number}", layout.worker_endpoint(number)), ("worker0", layout.worker_pool)],
        )
        self._record = member.table.worker(number)
        self._epoll = select.epoll()
        for descriptor, shared in self._taker.sources:
            flags = select.EPOLLIN | (select.EPOLLEXCLUSIVE if shared else 0)
            self._epoll.register(descriptor, flags)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._master = _watch(member.description.master)
        if self._master is not None:
            self._epoll.register(self._master, select.EPOLLIN)
        self._turn = threading.RLock()
        self._closed = False

    def fileno(self) -> int:
        """A descriptor that is readable when something may be there to take."""
        return self._epoll.fileno()

    def wake(self) -> None:
        """Make every wait in this process return; safe in a Python signal handler."""
        with self._turn:
            if not self._closed:
                os.eventfd_write(self._wake, 1)

    def rest(self) -> None:
        """Take back a wake()."""
        with self._turn:
            try:
                if not self._closed:
                    os.eventfd_read(self._wake)
            except BlockingIOError:
                pass

    def close(self, give_up: bool = True) -> None:
        """Close the descriptors and, unless told not to, give the worker number back. Once is enough."""
        with self._turn:
            if self._closed:
                return
            self._closed = True
        self._epoll.close()
        os.close(self._wake)
        if self._master is not None:
            os.close(self._master)
        self._taker.close()
        if give_up:
            workers.release(self.member)

    def forget(self) -> None:
        """In a forked child: close what is open here; the lock may be held by a thread that is not here."""
        self._turn = threading.RLock()
        self.close(give_up=False)

    def listening(self, flag: bool) -> None:
        """Say in the table that this process waits in signal_wait(), for numbers nobody registered."""
        self.member.table.cells[self._record + R_LISTENING] = int(flag)

    def take(self, timeout: float | None) -> int | None:
        """One signal, None when the timeout in seconds is over or wake() was called.

        Raises BusGone when the master has ended and nothing is left to take.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            # A wake-up can be lost with a taker that was killed; its count cannot (signals.taker).
            taken = self.take_now() if self._taker.pending() else None
            if taken is not None:
                return taken
            try:
                events = self._epoll.poll(_left(deadline), 1)
            except (OSError, ValueError):
                if self._closed:  # by another thread: this process has left the bus
                    raise BusGone from None
                raise
            if not events:
                return None
            descriptor = events[0][0]
            if descriptor == self._wake:
                return None
            if descriptor == self._master:
                self._check_master()
                return None
            found = self._taker.take(descriptor)
            if isinstance(found, int):
                return found

    def take_now(self) -> int | None:
        """One signal that is there already, without waiting."""
        for descriptor, _shared in self._taker.sources:
            taken = self._taker.take(descriptor)
            if isinstance(taken, int):
                return taken
        return None

    def _check_master(self) -> None:
        taken = self.member.table.cells[H_STATE]
        if taken != STOPPED and self.member.description.master.alive():
            return
        raise BusGone


def _left(deadline: float | None) -> float:
    return -1 if deadline is None else max(0.0, deadline - time.monotonic())


def _watch(master: ProcessId) -> int | None:
    """A pidfd of the master: readable when it has ended (pidfd_open(2)); None if it has already."""
    try:
        return os.pidfd_open(master.pid)
    except OSError:
        return None


class Server:
    """The daemon thread that serves signals in an attached process."""

    def __init__(self, member: Membership, dispatch: Dispatch, gone: Callable[[], None]) -> None:
        self.waiter = Waiter(member)
        #: True once signal_wait() was called: this process serves on purpose, and keeps its number.
        self.explicit = False
        self._dispatch = dispatch
        self._gone = gone
        self._stopping = False
        self._guests = 0
        self._turn = threading.Condition()
        self._parked = False
        self._thread = threading.Thread(target=self._run, name="ipcmules-signals", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._let_guests_in()
                taken = self.waiter.take(None)
                if taken is not None:
                    self._dispatch(taken)
        except SystemExit:
            # A handler asked for the end of the process; on this thread it would end the thread alone.
            os.kill(os.getpid(), signal.SIGTERM)
        except BusGone:
            self.waiter.close(give_up=False)  # the table that has the number is nobody's any more
            self._gone()

    def _let_guests_in(self) -> None:
        with self._turn:
            while self._guests and not self._stopping:
                self._parked = True
                self._turn.notify_all()
                self._turn.wait()
            self._parked = False

    def __enter__(self) -> Waiter:
        """For signal_wait(): the thread stands aside, the caller takes signals itself."""
        self.explicit = True
        with self._turn:
            self._guests += 1
            self.waiter.wake()
            while (
                not self._parked
                and self._thread.is_alive()
                and threading.current_thread() is not self._thread
            ):
                self._turn.wait(0.05)
            self.waiter.rest()
        return self.waiter

    def __exit__(self, *_exception: object) -> None:
        with self._turn:
            self._guests -= 1
            self._turn.notify_all()

    def stop(self) -> None:
        """End the thread and give the worker number back."""
        self._stopping = True
        self.waiter.wake()
        with self._turn:
            self._turn.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(5.0)
        self.waiter.close()

    def forget(self) -> None:
        """In a forked child: the thread is not here, and the number stays the parent's."""
        self.waiter.forget()
