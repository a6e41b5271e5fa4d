"""The bus's locks: numbered, held by a thread of a process, freed by the kernel when that process dies.

Knows semaphores, threads and their ownership; nothing of a bus but the keys it gave. A System V
semaphore can be released by anybody and more than once, so who holds what is recorded here. Rules:

* Another thread of the process waits like another process. Taking a lock twice in a thread is an error,
  and so is freeing one that this thread does not hold.
* A thread that ends while it holds a lock frees it, as a process that dies does.
* A forked child holds nothing: neither can it free its parent's locks, nor does its end free them.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence

import sysv_ipc

from ipcmules import semaphores
from ipcmules.errors import LockError, UnknownTarget
from ipcmules.semaphores import create, create_new, new_keys, remove

__all__ = ["Locks", "create", "create_new", "new_keys", "remove"]


class _Held:
    """The locks that one thread holds. Lives in that thread's storage, and so ends with the thread."""

    def __init__(self, owner: Locks) -> None:
        self._owner = owner
        self._process = os.getpid()
        self.numbers: set[int] = set()

    def __del__(self) -> None:
        # Not in a forked child, where this is a copy of the parent's.
        if self.numbers and self._process == os.getpid():
            self._owner._free_all(self.numbers)


class Locks:
    """This process's hand on the locks of a bus. Any thread may use it."""

    def __init__(self, keys: Sequence[int]) -> None:
        self._keys = tuple(keys)
        self._forget()

    def _forget(self) -> None:
        self._handles: dict[int, sysv_ipc.Semaphore] = {}
        self._thread = threading.local()
        #: Number to the name of the thread of this process that holds it; for messages to people.
        self._holders: dict[int, str] = {}

    def lock(self, number: int = 0, timeout: float | None = None) -> bool:
        """Take a lock for this thread. Returns True, or False when the timeout is over.

        number: 0 to the bus's --locks. timeout: seconds; 0 tries once, None waits for ever.
        Raises LockError if this thread holds it already, UnknownTarget for a number the bus does not have,
        TypeError and ValueError for arguments that make no sense, BusStopped when the bus has ended.
        """
        semaphore = self._semaphore(number)
        if timeout is not None:
            timeout = _checked(timeout)
        held = self._held()
        if number in held:
            raise LockError(
                f"this thread holds lock {number} already: a lock cannot be taken twice, unlock it first"
            )
        if not semaphores.try_take(semaphore) and (timeout == 0 or not semaphores.take(semaphore, timeout)):
            return False
        held.add(number)
        self._holders[number] = threading.current_thread().name
        return True

    def unlock(self, number: int = 0) -> None:
        """Free a lock that this thread holds. Raises LockError if it does not, and as lock()."""
        semaphore = self._semaphore(number)
        held = self._held()
        if number not in held:
            raise LockError(self._not_held(number, semaphore))
        # Noted before it is done: freed twice it would be two locks.
        self._holders.pop(number, None)
        held.remove(number)
        semaphores.give(semaphore)

    def is_locked(self, number: int = 0) -> bool:
        """True if some thread of some process holds the lock now. Raises as lock()."""
        return semaphores.is_taken(self._semaphore(number))

    def release_all(self) -> None:
        """Free what this process's threads hold: it leaves the bus, and could not free it later."""
        for number in list(self._holders):
            semaphores.give(self._semaphore(number))
        self._forget()

    def after_fork(self) -> None:
        """In a forked child: what the parent's threads hold is not this process's."""
        self._forget()

    def _semaphore(self, number: int) -> sysv_ipc.Semaphore:
        # A bool or float that equals a number would be found among the handles.
        found = self._handles.get(number) if type(number) is int else None
        return found if found is not None else self._open(number)

    def _open(self, number: int) -> sysv_ipc.Semaphore:
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError(f"a lock is a number from 0 to {len(self._keys) - 1}, not {number!r}")
        if not 0 <= number < len(self._keys):
            there = "lock 0 alone" if len(self._keys) == 1 else f"locks 0 to {len(self._keys) - 1}"
            raise UnknownTarget(
                f"unknown lock {number}: this bus has {there}; start it with --locks {max(number, 1)}"
            )
        return self._handles.setdefault(number, semaphores.open_semaphore(self._keys[number]))

    def _held(self) -> set[int]:
        try:
            held: _Held = self._thread.held
        except AttributeError:
            held = self._thread.held = _Held(self)
        return held.numbers

    def _free_all(self, numbers: set[int]) -> None:
        """Free what a thread that has ended held."""
        for number in numbers:
            if self._holders.pop(number, None) is not None:  # unless the process has left the bus meanwhile
                semaphores.give(self._handles[number])

    def _not_held(self, number: int, semaphore: sysv_ipc.Semaphore) -> str:
        text = f"this thread does not hold lock {number}, so it cannot unlock it: "
        holder = self._holders.get(number)
        if holder is not None:
            return (
                f"{text}thread {holder!r} of this process holds it, and frees it by unlock() or when it ends"
            )
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
