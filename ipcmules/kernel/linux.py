"""What Linux can do and Python's standard library does not offer: prctl(2), timerfd_create(2), linkat(2) of a
descriptor, fstatfs(2), sync_file_range(2), membarrier(2).

Platform-specific, through ctypes. Knows nothing of the bus.
"""

from __future__ import annotations

import ctypes
import os
import platform

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_TFD_TIMER_ABSTIME, _TFD_TIMER_CANCEL_ON_SET = 1, 2

#: Constants of linkat(2), linux/fcntl.h.
AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000

_libc = ctypes.CDLL(None, use_errno=True)

#: linkat(old descriptor, old path, new descriptor, new path, flags) -> 0, or -1 with no word why. Called once
#: a task, and os.link() does not know AT_EMPTY_PATH.
linkat = ctypes.CDLL(None).linkat
linkat.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int)


def _error() -> OSError:
    """What the last call of _libc said."""
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise _error()


def file_system(file: int) -> int:
    """The magic number of the file system that an open file is on (statfs(2)); 0 if it cannot be told."""
    status = (ctypes.c_long * 32)()  # struct statfs is at most 120 bytes and begins with its f_type, a long
    return int(status[0]) if _libc.fstatfs(file, status) == 0 else 0


def write_out(file: int) -> None:
    """Write a file's data to its disk, and wait: all of sync_file_range(2). Its metadata is not written."""
    whole, flags = ctypes.c_int64(0), 1 | 2 | 4  # WAIT_BEFORE | WRITE | WAIT_AFTER
    if _libc.sync_file_range(file, whole, whole, ctypes.c_uint(flags)) != 0:
        raise _error()


def become_subreaper() -> None:
    """Make orphans among this process's descendants its children (PR_SET_CHILD_SUBREAPER)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(signum: int) -> None:
    """Get signum when the parent dies (PR_SET_PDEATHSIG).

    Cleared by fork, kept over an ordinary execve. It says nothing of a parent that is dead already:
    compare os.getppid() afterwards.
    """
    _prctl(_PR_SET_PDEATHSIG, signum)


class _Itimerspec(ctypes.Structure):
    """struct itimerspec: interval and value, each seconds and nanoseconds."""

    _fields_ = (
        ("interval", ctypes.c_long),
        ("interval_nanoseconds", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("nanoseconds", ctypes.c_long),
    )


def timer(clock: int) -> int:
    """A descriptor that becomes readable at a moment of a clock (timerfd_create(2)). Raises OSError.

    clock: time.CLOCK_MONOTONIC or time.CLOCK_REALTIME. More precise than what a selector waits: that is whole
    milliseconds (epoll_wait(2)).
    """
    descriptor: int = _libc.timerfd_create(clock, os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        raise _error()
    return descriptor


def set_timer(descriptor: int, moment: int, sets: bool = False) -> None:
    """Have it readable at this moment of its clock, in nanoseconds; 0: never.

    sets: of the wall clock: have it readable as well as soon as somebody sets the clock. A read then raises
    OSError (ECANCELED).
    """
    seconds, nanoseconds = divmod(moment, 1_000_000_000)
    wanted = _Itimerspec(0, 0, seconds, nanoseconds)
    flags = _TFD_TIMER_ABSTIME | (_TFD_TIMER_CANCEL_ON_SET if sets else 0)
    if _libc.timerfd_settime(descriptor, flags, ctypes.byref(wanted), None) != 0:
        raise _error()


# Memory: constants of membarrier(2), linux/membarrier.h; Python's standard library does not know the call.
_MEMBARRIER = {"x86_64": 324, "aarch64": 283, "riscv64": 283, "ppc64le": 365, "s390x": 356}.get(
    platform.machine(), -1
)
_GLOBAL_EXPEDITED, _REGISTER_GLOBAL_EXPEDITED = 2, 4
#: True where stores of one processor may become visible in another order than that of the program.
WEAKLY_ORDERED = platform.machine() not in ("x86_64", "i686", "s390x")

_membarrier = ctypes.PyDLL(None).syscall  # it does not sleep: giving up the GIL would cost more
_membarrier.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_long, ctypes.c_long)


def register_for_barriers() -> bool:
    """Have barrier() of other processes reach this one.

    False where the kernel has no such call (before 4.16).
    """
    return _MEMBARRIER >= 0 and _membarrier(_MEMBARRIER, _REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0


def barrier() -> bool:
    """A full memory barrier in this process and, now, in every running one that has registered.

    So that those who store and then load often need none. False where the kernel has no such call.
    """
    return _MEMBARRIER >= 0 and _membarrier(_MEMBARRIER, _GLOBAL_EXPEDITED, 0, 0) == 0


def order() -> None:
    """What others stored before something this process has seen is seen by what it loads from here on.

    Processors that keep the order of stores and of loads, as x86 does, need nothing for that.
    """
    if WEAKLY_ORDERED:
        barrier()
