"""Counters that several processes add to and take from without a lock.

Platform-specific: the one place that calls libc's sem_post and sem_trywait. A zeroed sem_t is a
valid semaphore of value 0 (glibc and musl), and neither call ever sleeps, so all of it is atomic
arithmetic on shared memory: a stopped or killed process cannot hold anything up. The value is
a 32-bit count, at most 2**31 - 1 (SEM_VALUE_MAX).
"""

from __future__ import annotations

import ctypes

#: Bytes a counter takes: sizeof(sem_t), 32 on every 64-bit Linux libc.
COUNTER_SIZE = 32

# PyDLL keeps the GIL: these calls return within nanoseconds, giving it up would cost more.
_libc = ctypes.PyDLL(None)
_prototype = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)

#: increment(address) adds one. Returns 0, or -1 at the largest value.
increment = _prototype(("sem_post", _libc))

#: take(address) takes one away if there is one. Returns 0 if it did, -1 if the count was 0.
take = _prototype(("sem_trywait", _libc))

_getvalue = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(("sem_getvalue", _libc))
_own = (ctypes.c_uint64 * (COUNTER_SIZE // 8))()


def value(address: int) -> int:
    """A counter's count, which may be another one by now."""
    result = ctypes.c_int()
    _getvalue(address, ctypes.addressof(result))
    return result.value


def fence() -> None:
    """What this process stored before is seen by everybody before it reads what comes after.

    An atomic change of a counter that nobody shares: on x86-64 a locked instruction, which is such a fence.
    """
    increment(ctypes.addressof(_own))
    take(ctypes.addressof(_own))
