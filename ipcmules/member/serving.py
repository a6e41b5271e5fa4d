"""Serving signals in a process that is no mule: the wait loop, and the daemon thread that runs it.

A process takes its worker number when it begins to serve, and gives it back when it stops. What to do
with a signal is passed in (`dispatch`), so this knows waiting, not handlers.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import time
import weakref
from _queue import Empty, SimpleQueue
from collections.abc import Callable

from ipcmules.bus.table import H_STATE, R_LISTENING, R_PID, STOPPED
from ipcmules.errors import LimitError, SignalError
from ipcmules.kernel import exhaustion, kill, unpatched, unpatched_polls
from ipcmules.kernel.interruption import noted
from ipcmules.kernel.processes import ProcessId
from ipcmules.member import workers
from ipcmules.member.membership import Membership
from ipcmules.signals import running
from ipcmules.signals.taker import Taker

#: How long the thread stands aside before it looks again whether a guest is there, seconds.
_GUEST = 1.0
#: How often who wants to be let in looks whether there is a thread still, seconds.
_LOOK = 0.05

Dispatch = Callable[[int], None]


#: Of this process: a forked child must not go on waiting for its parent's signals.
_waiters: weakref.WeakSet[Waiter] = weakref.WeakSet()
#: Whether there ever was one, in this process or one that it was forked from.
_any = False


class BusGone(Exception):
    """Internal: the master of the bus being waited on has ended."""


class Replaced(SignalError):
    """Another process has this one's worker number: its web server is about to end it."""


class Waiter:
    """Waits for the signals of one worker number. One a process; any thread may wait."""

    def __init__(self, member: Membership) -> None:
        self.member = member
        self._opened: list[int] = []
        self._takers: list[Taker] = []
        try:
            self._number = workers.claim(member)
            self._open(member, self._number)
        except BaseException as error:
            # No descriptors, or a signal handler of the program: signals would go to a number that nobody
            # serves.
            self._close_all()
            workers.release(member)
            if isinstance(error, OSError) and exhaustion.refused(error):
                raise exhaustion.explain(error, "this process cannot wait for signals") from error
            raise

    def _open(self, member: Membership, number: int) -> None:
        global _any
        layout = member.table.layout
        self._epoll = unpatched_polls.epoll()
        endpoints = [(f"worker{number}", layout.worker_endpoint(number)), ("worker0", layout.worker_pool)]
        self._taker = noted(self._takers, Taker, member.where, member.table, endpoints)
        self._record = member.table.worker(number)
        for descriptor, shared in self._taker.sources:
            flags = select.EPOLLIN | (select.EPOLLEXCLUSIVE if shared else 0)
            self._epoll.register(descriptor, flags)
        self._wake = noted(self._opened, os.eventfd, 0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._master = self._watch(member.description.master)
        self._pid = os.getpid()
        self._turn = unpatched.RLock()
        self._closed = False
        _any = True
        _waiters.add(self)
        # A predecessor that waits still is to see that it is replaced.
        member.raiser.nudge(f"worker{number}")

    def _watch(self, master: ProcessId) -> int | None:
        """A pidfd of the master: readable when it has ended (pidfd_open(2)); None if it has already, or the
        kernel has no such thing. Raises OSError where there is no descriptor for it.
        """
        try:
            descriptor = noted(self._opened, kill.open_process, master)
        except OSError as error:
            if exhaustion.refused(error):
                raise
            return None
        self._epoll.register(descriptor, select.EPOLLIN)
        return descriptor

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
        self._taker.give_back()
        self._close_all()
        if give_up:
            workers.release(self.member)

    def _close_all(self) -> None:
        for each in self._takers:
            each.close()
        list(map(os.close, self._opened))  # in one step: a handler that raises leaves none

    def forget(self) -> None:
        """In a forked child: close what is open here; the lock may be held by a thread that is not here."""
        self._turn = unpatched.RLock()
        self.close(give_up=False)

    def listening(self) -> tuple[memoryview, int]:
        """Cells and an index: 1 there says that this process waits in signal_wait(), for any number."""
        return self.member.table.cells, self._record + R_LISTENING

    def take(self, timeout: float | None) -> int | None:
        """One signal, None when the timeout in seconds is over or wake() was called.

        Raises BusGone when the master has ended and nothing is left to take, Replaced where the number is
        another process's.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            if self._closed:  # another thread left the bus
                raise BusGone
            if self.member.table.cells[self._record + R_PID] != self._pid:
                raise Replaced(
                    f"worker {self._number} is another process by now: this one is being replaced by its web "
                    "server, and gets no signals any more"
                )
            # A wake-up can be lost with a taker that was killed; its count cannot (signals.taker).
            taken = self.take_now() if self._taker.pending() else None
            if taken is not None:
                return taken
            try:
                events = self._epoll.poll(_left(deadline), 1)
            except (OSError, ValueError):
                if self._closed:
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

    def pass_on(self) -> None:
        """Replaced: what was signalled to this process meanwhile others are to look at."""
        for endpoint in ("worker0", f"worker{self._number}"):
            self.member.raiser.nudge(endpoint)

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


def _after_fork() -> None:
    if not _any:
        return  # to go through a set costs memory of its own in each of many idle mules
    for each in list(_waiters):
        each.forget()


os.register_at_fork(after_in_child=_after_fork)


def _left(deadline: float | None) -> float:
    return -1 if deadline is None else max(0.0, deadline - time.monotonic())


class Server:
    """The daemon thread that serves signals in an attached process."""

    def __init__(self, member: Membership, dispatch: Dispatch, gone: Callable[[Server], None]) -> None:
        #: True once signal_wait() was called: this process serves on purpose, and keeps its number.
        self.explicit = False
        self._dispatch = dispatch
        self._gone = gone
        self._stopping = False
        #: Who waits in signal_wait(). Not counted: one whose end is interrupted goes with its call.
        self._guests: weakref.WeakSet[_Guest] = weakref.WeakSet()
        #: What tells the thread that its guests are others. Not a Condition: a signal handler of the program
        #: that raises can leave its lock taken.
        self._changed: SimpleQueue[None] = SimpleQueue()
        self._thread = unpatched.thread(self._run, "ipcmules-signals")
        waiters: list[Waiter] = []
        try:
            self.waiter = noted(waiters, Waiter, member)
            self._start()
        except BaseException:  # a signal handler of the program: the thread may run already
            self._stopping = True
            for each in waiters:
                each.close()
            raise

    def _start(self) -> None:
        try:
            self._thread.start()
        except RuntimeError as error:  # the system refuses a thread
            raise LimitError(
                f"no thread can be started to handle signals: {error}; "
                f"{exhaustion.remedy(BlockingIOError(errno.EAGAIN, ''))}"
            ) from error

    def _run(self) -> None:
        try:
            while not self._stopping:
                try:
                    self._serve_one()
                except MemoryError:  # in our own lines: it goes on when there is some
                    unpatched.sleep(_LOOK)
        except SystemExit:
            # A handler asked for the end of the process; on this thread it would end the thread alone.
            kill.send_to_self(signal.SIGTERM)
        except Replaced:
            self.waiter.pass_on()
            self.waiter.close(give_up=False)
            running.close_record()
        except BusGone:
            self.waiter.close(give_up=False)  # the table that has the number is nobody's any more
            self._gone(self)

    def _serve_one(self) -> None:
        self._let_guests_in()
        taken = self.waiter.take(None)
        if taken is not None:
            self._dispatch(taken)

    def _let_guests_in(self) -> None:
        # Who is let in stays so: as long as it is among the guests, this does not return.
        while (guests := list(self._guests)) and not self._stopping:
            for guest in guests:
                guest.let_in()
            del guests
            with contextlib.suppress(Empty):
                self._changed.get(timeout=_GUEST)

    def guest(self) -> _Guest:
        """For signal_wait(): in a with statement the thread stands aside, the caller takes signals itself."""
        self.explicit = True
        return _Guest(self)

    def _enter(self, guest: _Guest) -> Waiter:
        self._guests.add(guest)
        self.waiter.wake()
        self._changed.put(None)
        while not guest.is_in() and self._thread.is_alive() and unpatched.get_ident() != self._thread.ident:
            pass
        self.waiter.rest()
        return self.waiter

    def _leave(self, guest: _Guest) -> None:
        self._guests.discard(guest)
        self._changed.put(None)

    def stop(self) -> None:
        """End the thread and give the worker number back."""
        self._stopping = True
        self.waiter.wake()
        self._changed.put(None)
        if unpatched.get_ident() != self._thread.ident:
            self._thread.join(5.0)
        self.waiter.close()

    def forget(self) -> None:
        """In a forked child: the thread is not here, and the number stays the parent's."""
        self.waiter.forget()


class _Guest:
    """A call of signal_wait(), as a context manager."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._in: SimpleQueue[None] = SimpleQueue()

    def let_in(self) -> None:
        """The thread stands aside until this has left."""
        if self._in.empty():
            self._in.put(None)

    def is_in(self) -> bool:
        """True once it was let in; waits a moment for it."""
        try:
            self._in.get(timeout=_LOOK)
        except Empty:
            return False
        return True

    def __enter__(self) -> Waiter:
        return self._server._enter(self)

    def __exit__(self, *_exception: object) -> None:
        self._server._leave(self)
