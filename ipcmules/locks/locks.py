"""The bus's locks: numbered, held by a thread of a process, freed by the kernel when that process dies.

Knows semaphores, threads and their ownership; nothing of a bus but the keys it gave. A System V
semaphore can be released by anybody and more than once, so who holds what is recorded here. Rules:

* Another thread of the process waits like another process. Taking a lock twice in a thread is an error,
  and so is freeing one that this thread does not hold.
* A thread that ends while it holds a lock frees it, as a process that dies does.
* A forked child holds nothing: neither can it free its parent's locks, nor does its end free them.
* Taking and noting is one stretch, and the end of a with statement is C code (kernel/interruption.py): where
  a signal handler raises, a lock is either held by who called, or free.
"""

from __future__ import annotations

import ctypes
import math
import os
import threading
import weakref
from collections.abc import Callable, Sequence

import sysv_ipc

from ipcmules.errors import LockError, UnknownTarget
from ipcmules.locks import semaphores
from ipcmules.locks.semaphores import create, create_new, new_keys, remove

__all__ = ["Locks", "create", "create_new", "new_keys", "remove"]


class _Thread:
    """One thread, as it holds locks. Lives in that thread's storage, and so ends with the thread."""

    def __init__(self, owner: Locks) -> None:
        self._owner = owner
        self._process = os.getpid()
        self.key = _Key(threading.current_thread().name)

    def __del__(self) -> None:
        key = getattr(self, "key", None)  # none where a handler raised before there was one
        # Not in a forked child, where this is a copy of the parent's.
        if key is not None and self._process == os.getpid():
            self._owner._free_all(key)


class _Key:
    """What a thread's locks know of it. name: for messages to people."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Statement:
    """A with statement, which frees its lock in C code: release is what it calls at its end."""

    __slots__ = ("_release", "identifier", "release")

    def __init__(self) -> None:
        #: The semaphore's id; -1: it frees nothing.
        self.identifier = ctypes.c_int(-1)
        self.release: Callable[..., None] | None = semaphores.freeing(self.identifier)
        self._release = weakref.ref(self.release)

    def begin(self) -> Callable[..., None]:
        """Hand over what it calls at its end. The statement alone keeps that from now on."""
        release, self.release = self.release, None
        assert release is not None
        return release

    def is_over(self) -> bool:
        """True once it has ended."""
        return self._release() is None


class _Hold:
    """A lock that is taken. The note outlives it where a with statement freed it."""

    __slots__ = ("statement", "thread")

    def __init__(self, thread: _Key, statement: Statement | None) -> None:
        self.thread = thread
        self.statement = statement

    def is_over(self) -> bool:
        """True if a with statement has freed it."""
        return self.statement is not None and self.statement.is_over()

    def forget(self) -> None:
        """The with statement frees nothing."""
        if self.statement is not None:
            self.statement.identifier.value = -1


class Locks:
    """This process's hand on the locks of a bus. Any thread may use it."""

    def __init__(self, keys: Sequence[int]) -> None:
        self._keys = tuple(keys)
        self._forget()

    def _forget(self) -> None:
        self._handles: dict[int, sysv_ipc.Semaphore] = {}
        self._storage = threading.local()
        #: By number: what threads of this process hold, and perhaps what they held.
        self._holds: dict[int, _Hold] = {}

    def lock(self, number: int = 0, timeout: float | None = None, statement: Statement | None = None) -> bool:
        """Take a lock for this thread. Returns True, or False when the timeout is over.

        number: 0 to the bus's --locks. timeout: seconds; 0 tries once, None waits for ever. statement: what
        frees it, if that is a with statement.
        Raises LockError if this thread holds it already, UnknownTarget for a number the bus does not have,
        TypeError and ValueError for arguments that make no sense, BusStopped when the bus has ended.
        """
        semaphore = self._semaphore(number)
        if timeout is not None:
            timeout = _checked(timeout)
        hold = _Hold(self._thread(), statement)
        if statement is not None:
            statement.identifier.value = semaphore.id
        if semaphores.try_take(semaphore, self._holds, number, hold):
            return True
        if self._is_mine(number):
            raise LockError(
                f"this thread holds lock {number} already: a lock cannot be taken twice, unlock it first"
            )
        return timeout != 0 and semaphores.take(semaphore, timeout, self._holds, number, hold)

    def unlock(self, number: int = 0) -> None:
        """Free a lock that this thread holds. Raises LockError if it does not, and as lock()."""
        semaphore = self._semaphore(number)
        if not self._is_mine(number):
            raise LockError(self._not_held(number, semaphore))
        self._free(number, semaphore, self._holds.get(number))

    def _is_mine(self, number: int) -> bool:
        hold = self._holds.get(number)
        return hold is not None and hold.thread is self._thread() and not hold.is_over()

    def _free(self, number: int, semaphore: sysv_ipc.Semaphore, hold: _Hold | None) -> None:
        step = map(semaphore.release, (1,))
        if hold is None:
            return
        hold.forget()
        try:
            if number in self._holds and self._holds[number] is hold:
                # From here on no call but the step of C code: noted before it is done, as twice would be two.
                del self._holds[number]
                for _ in step:
                    pass
        except sysv_ipc.ExistentialError:
            pass  # removed meanwhile: nobody's any more

    def is_locked(self, number: int = 0) -> bool:
        """True if some thread of some process holds the lock now. Raises as lock()."""
        return semaphores.is_taken(self._semaphore(number))

    def give_up(self, number: int, statement: Statement | None = None) -> None:
        """Free a lock if this thread holds it: the call that was to free it, or took it, was interrupted.

        statement: that of the call that took it.
        """
        semaphore = self._handles.get(number) if type(number) is int else None
        hold = self._holds.get(number) if semaphore is not None else None
        if semaphore is None or hold is None or (statement is not None and hold.statement is not statement):
            return
        if self._is_mine(number):
            self._free(number, semaphore, hold)

    def release_all(self) -> None:
        """Free what this process's threads hold: it leaves the bus, and could not free it later."""
        self._free_all(None)
        self._forget()

    def after_fork(self) -> None:
        """In a forked child: what the parent's threads hold is not this process's."""
        for hold in list(self._holds.values()):
            hold.forget()
        self._forget()

    def _semaphore(self, number: int) -> sysv_ipc.Semaphore:
        # A bool or float that equals a number would be found among the handles.
        found = self._handles.get(number) if type(number) is int else None
        return found if found is not None else self._open(number)

    def _open(self, number: int) -> sysv_ipc.Semaphore:
        if isinstance(number, bool) or not isinstance(number, int):
            as_decorator = "; the decorator is ipcmules.decorators.lock" if callable(number) else ""
            raise TypeError(
                f"a lock is a number from 0 to {len(self._keys) - 1}, not {number!r}{as_decorator}"
            )
        if not 0 <= number < len(self._keys):
            there = "lock 0 alone" if len(self._keys) == 1 else f"locks 0 to {len(self._keys) - 1}"
            raise UnknownTarget(
                f"unknown lock {number}: this bus has {there}; start it with --locks {max(number, 1)}"
            )
        return self._handles.setdefault(number, semaphores.open_semaphore(self._keys[number]))

    def _thread(self) -> _Key:
        if type(self._storage) is not threading.local and not self._holds:
            self._storage = threading.local()  # gevent came meanwhile: greenlets hold locks
        try:
            thread: _Thread = self._storage.thread
        except AttributeError:
            thread = self._storage.__dict__.setdefault("thread", _Thread(self))
        return thread.key

    def _free_all(self, thread: _Key | None) -> None:
        """Free what a thread that has ended held, or all threads hold."""
        for number, hold in list(self._holds.items()):
            semaphore = self._handles.get(number)
            if semaphore is None or thread not in (None, hold.thread):
                continue
            # Who ends in the middle of a with statement (a generator) frees it here, and not again.
            if not hold.is_over():
                self._free(number, semaphore, hold)

    def _not_held(self, number: int, semaphore: sysv_ipc.Semaphore) -> str:
        text = f"this thread does not hold lock {number}, so it cannot unlock it: "
        hold = self._holds.get(number)
        if hold is not None and not hold.is_over():
            name = hold.thread.name
            return f"{text}thread {name!r} of this process holds it, and frees it by unlock() or when it ends"
        if semaphores.is_taken(semaphore):
            return f"{text}another process (last pid {semaphore.last_pid}) holds it"
        return f"{text}nobody does"


def _checked(timeout: object) -> float | None:
    """A timeout in seconds; infinity is None. Raises TypeError, ValueError."""
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout={timeout!r}: give seconds as a number, or None to wait for ever")
    if math.isnan(timeout) or timeout < 0:
        raise ValueError(f"timeout={timeout!r}: give seconds, 0 or more, or None to wait for ever")
    return None if math.isinf(timeout) else timeout
