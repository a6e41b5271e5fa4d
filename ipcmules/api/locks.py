"""The flat functions of locks, and Lock: numbered locks of the bus this process is on.

Knows membership and nothing of messages or signals.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ipcmules.errors import BusStopped
from ipcmules.kernel.exhaustion import importing
from ipcmules.kernel.interruption import raised_here
from ipcmules.member import inlining, membership

if TYPE_CHECKING:
    from ipcmules.locks.locks import Statement

#: How long a call waits for the successor of a bus that has ended, while it is being made, seconds.
_PATIENCE = 5.0


def lock(number: int = 0, timeout: float | None = None) -> bool:
    """Take a lock for this thread, waiting up to timeout seconds (None: for ever).

    Returns False when the timeout is over. The kernel frees it if this process dies, however it dies.
    Raises LockError if this thread has it already, UnknownTarget for a number beyond --locks.
    """
    holder = inlining.current or membership.current()
    try:
        return holder.locks.lock(number, timeout)
    except BusStopped:
        return _successor(timeout).locks.lock(number, timeout)


def unlock(number: int = 0) -> None:
    """Free a lock. Raises LockError if this thread does not hold it."""
    try:
        (inlining.current or membership.current()).locks.unlock(number)
    except BaseException as error:
        if not raised_here(error):  # a signal handler of the program: the lock is free all the same
            _give_up(number)
        raise


def _give_up(number: int, statement: Statement | None = None) -> None:
    member = membership.peek()
    if member is not None and inlining.current is None:
        member.locks.give_up(number, statement)


def is_locked(number: int = 0) -> bool:
    """True if some thread of some process holds the lock now."""
    holder = inlining.current or membership.current()
    try:
        return holder.locks.is_locked(number)
    except BusStopped:
        return _successor(_PATIENCE).locks.is_locked(number)


def _successor(timeout: float | None) -> membership.Membership:
    """The bus that has taken the place of the one whose locks are gone. Raises BusStopped if none has."""
    member = membership.peek()
    if member is None or not member.ended() or member.role != "attached":
        raise BusStopped("the lock is gone: its bus has stopped; take it again when the bus is back")
    membership.leave()
    return membership.rejoin(member.where, timeout)


class _Exit:
    """What Lock.__exit__ is: C code where a with statement asks for it, which it does before __enter__().

    A Python function could be interrupted at its very beginning, with the lock taken for ever.
    """

    def __get__(self, lock: Lock | None, owner: type[Lock]) -> Callable[..., None]:
        if lock is None or inlining.current is not None:
            return _exit if lock is None else functools.partial(_exit, lock)
        with importing:
            from ipcmules.locks.locks import Statement

        statement = Statement()
        lock._entering.setdefault(threading.get_ident(), []).append(statement)
        return statement.begin()


def _exit(lock: Lock, _kind: object, _error: object, _trace: object) -> None:
    """For contextlib.ExitStack, which asks the class."""
    unlock(lock.number)


class Lock:
    """A numbered lock as a context manager: `with Lock(2): ...`.

    number: 0 to the bus's --locks. timeout: seconds to wait; TimeoutError when it is over.
    """

    def __init__(self, number: int = 0, timeout: float | None = None) -> None:
        self.number = number
        self.timeout = timeout
        #: By thread, for which with statements __enter__() is about to be called: the innermost is the last.
        self._entering: dict[int, list[Statement]] = {}

    def acquire(self, timeout: float | None = None) -> bool:
        """As lock(number, timeout)."""
        return lock(self.number, timeout)

    def release(self) -> None:
        """As unlock(number)."""
        unlock(self.number)

    def locked(self) -> bool:
        """As is_locked(number)."""
        return is_locked(self.number)

    def __enter__(self) -> Lock:
        entering = self._entering.pop(threading.get_ident(), None)
        if not entering:
            return self._taken(lock(self.number, self.timeout))
        statement = entering.pop()
        if entering:  # a handler of the program is in the middle of the others
            self._entering[threading.get_ident()] = entering
        try:
            return self._taken(self._take(statement))
        except BaseException as error:
            if not raised_here(error):  # Python 3.10 runs handlers on the way out of a call, too
                _give_up(self.number, statement)
            raise

    def _take(self, statement: Statement) -> bool:
        try:
            return membership.current().locks.lock(self.number, self.timeout, statement)
        except BusStopped:
            return _successor(self.timeout).locks.lock(self.number, self.timeout, statement)

    def _taken(self, taken: bool) -> Lock:
        if taken:
            return self
        raise TimeoutError(f"lock {self.number} was not free within {self.timeout} s")

    __exit__ = _Exit()
