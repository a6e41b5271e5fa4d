"""System V semaphores: made, found, removed, and waited for with a timeout.

Platform-specific: the one place that knows sysv_ipc and libc's semtimedop, which the wheels of sysv_ipc
are built without. Every operation has SEM_UNDO: the kernel takes it back when the process ends
(semop(2)), so a lock whose holder is killed is free again. Knows keys, nothing of locks or of a bus.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import itertools
import os
import secrets
import time
from collections.abc import Callable
from typing import TypeVar

import sysv_ipc

from ipcmules.errors import AccessError, BusStopped, LimitError
from ipcmules.kernel import unpatched

_SEM_UNDO = 0x1000
#: How often a greenlet looks at a lock that it waits for, seconds at most.
_LOOK = 0.02
#: The longest single wait, seconds: far from what a timespec could not hold.
_LONG = 86400.0
_GONE = (errno.EIDRM, errno.EINVAL)

_libc = ctypes.CDLL(None, use_errno=True)


class _Operation(ctypes.Structure):
    _fields_ = (("number", ctypes.c_ushort), ("change", ctypes.c_short), ("flags", ctypes.c_short))


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


_FREE = _Operation(0, 1, _SEM_UNDO)
_free = ctypes.CDLL(None).semop
# What follows the third argument is not semop's: __exit__ is called with an exception, or with None.
_free.argtypes = (ctypes.c_int, ctypes.POINTER(_Operation), ctypes.c_size_t, *[ctypes.py_object] * 3)
_free.restype = None

T = TypeVar("T")


class Collision(Exception):
    """Internal: a key that was picked belongs to another semaphore already."""


def new_keys(count: int) -> tuple[int, ...]:
    """Random keys, distinct, from 1 to 2**31 - 1 (0 is IPC_PRIVATE)."""
    keys: set[int] = set()
    while len(keys) < count:
        keys.add(1 + secrets.randbelow(2**31 - 1))
    return tuple(keys)


def create(keys: tuple[int, ...]) -> None:
    """Make a semaphore of value 1 for each key, mode 0600; all of them or none.

    Raises Collision if a key is taken, LimitError if kernel.sem is in the way.
    """
    made: list[sysv_ipc.Semaphore] = []
    try:
        for key in keys:
            made.append(sysv_ipc.Semaphore(key, sysv_ipc.IPC_CREX, 0o600, 1))
    except BaseException as error:
        for semaphore in made:
            semaphore.remove()
        if isinstance(error, sysv_ipc.ExistentialError):
            raise Collision from error
        if isinstance(error, (OSError, sysv_ipc.Error)):
            raise _no_room(len(keys), error) from error
        raise


def create_new(count: int, announce: Callable[[tuple[int, ...]], None]) -> tuple[int, ...]:
    """Make `count` semaphores under new random keys and return the keys.

    announce(keys) is called before they are made, again with other keys after a collision: whoever
    cleans up after a crash must be able to read every key that can exist. Raises LimitError.
    """
    while True:
        keys = new_keys(count)
        announce(keys)
        try:
            create(keys)
            return keys
        except Collision:
            continue


def remove(keys: tuple[int, ...]) -> None:
    """Remove the semaphores of these keys. Missing ones are ignored; another user's are left alone."""
    for key in keys:
        try:
            semaphore = sysv_ipc.Semaphore(key)
            if semaphore.uid == os.geteuid():
                semaphore.remove()
        except (sysv_ipc.ExistentialError, sysv_ipc.PermissionsError, PermissionError):
            continue


def open_semaphore(key: int) -> sysv_ipc.Semaphore:
    """A handle that never blocks and always undoes. Raises BusStopped if there is none, AccessError."""
    try:
        semaphore = sysv_ipc.Semaphore(key)
        owner, mode = semaphore.uid, semaphore.mode
    except sysv_ipc.ExistentialError as error:
        raise BusStopped("the lock is gone: its bus has stopped") from error
    except (sysv_ipc.PermissionsError, PermissionError) as error:
        raise AccessError(f"the semaphore with key {key:#x} belongs to another user") from error
    if owner != os.geteuid() or mode & 0o077:
        raise AccessError(f"the semaphore with key {key:#x} belongs to uid {owner} or is open to others")
    semaphore.undo = True
    semaphore.block = False
    return semaphore


def try_take(semaphore: sysv_ipc.Semaphore, held: dict[int, T], number: int, hold: T) -> bool:
    """Take the semaphore if it is free, and note held[number] = hold in one stretch (kernel/interruption.py).

    Raises BusStopped if it was removed.
    """
    try:
        for _ in map(semaphore.acquire, (None,)):
            held[number] = hold
            return True
    except sysv_ipc.BusyError:
        pass
    except sysv_ipc.ExistentialError as error:
        raise BusStopped("the lock is gone: its bus has stopped") from error
    return False


def take(
    semaphore: sysv_ipc.Semaphore, timeout: float | None, held: dict[int, T], number: int, hold: T
) -> bool:
    """Wait for the semaphore up to timeout seconds (None: for ever), and note it as try_take() does.

    False when the time is over. Python signal handlers run meanwhile, and the wait goes on with what is left.
    With gevent the holder may be another greenlet of this thread, so the others go on meanwhile.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    if unpatched.is_patched("time"):
        return _take_among_greenlets(semaphore, deadline, held, number, hold)
    operation = _Operation(0, -1, _SEM_UNDO)
    while True:
        left = _LONG if deadline is None else min(_LONG, max(0.0, deadline - time.monotonic()))
        wait = _Time(int(left), int(left % 1 * 1e9))
        arguments = semaphore.id, ctypes.byref(operation), ctypes.c_size_t(1), ctypes.byref(wait)
        for failed in itertools.starmap(_libc.semtimedop, (arguments,)):
            if failed == 0:
                held[number] = hold
                return True
        code = ctypes.get_errno()
        if code in _GONE:
            raise BusStopped("the lock is gone: its bus has stopped")
        if code not in (errno.EINTR, errno.EAGAIN, 0):  # 0: a handler made another call
            raise LimitError(code, f"waiting for a lock failed: {os.strerror(code)} (see semop(2))")
        if deadline is not None and time.monotonic() >= deadline:
            return False


def _take_among_greenlets(
    semaphore: sysv_ipc.Semaphore, deadline: float | None, held: dict[int, T], number: int, hold: T
) -> bool:
    pause = 0.001
    while not try_take(semaphore, held, number, hold):
        left = pause if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(pause, left))  # gevent's
        pause = min(pause * 2, _LOOK)
    return True


def give(semaphore: sysv_ipc.Semaphore) -> None:
    """Free the semaphore. One that was removed meanwhile is nobody's any more."""
    try:
        semaphore.release()
    except sysv_ipc.ExistentialError:
        pass


def freeing(identifier: ctypes.c_int) -> Callable[[object, object, object], None]:
    """What frees the semaphore with this id when it is called, as __exit__ is; nothing for an id of -1.

    C code from its beginning to its end: a signal handler that raises finds it either not called or done. A
    semaphore that was removed meanwhile is nobody's any more.
    """
    return functools.partial(_free, identifier, ctypes.byref(_FREE), 1)


def is_taken(semaphore: sysv_ipc.Semaphore) -> bool:
    """True if the semaphore is taken now. Raises BusStopped if it was removed."""
    try:
        return bool(semaphore.value == 0)
    except sysv_ipc.ExistentialError as error:
        raise BusStopped("the lock is gone: its bus has stopped") from error


def _no_room(count: int, error: Exception) -> LimitError:
    try:
        with open("/proc/sys/kernel/sem", encoding="ascii") as file:
            per_set, total, operations, sets = file.read().split()
    except (OSError, ValueError):
        return LimitError(
            f"{count} locks need {count} System V semaphores, which this system refuses: {error}"
        )
    more_sets, more = int(sets) + count, int(total) + count
    return LimitError(
        f"{count} locks need {count} System V semaphores, one a set; the limits are {sets} sets and {total} "
        f"semaphores in the whole system (`ipcs -s` lists them), and too few are left: ask for fewer "
        f"--locks, or raise them with: sysctl -w kernel.sem='{per_set} {more} {operations} {more_sets}'"
    )
