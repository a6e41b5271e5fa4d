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

_value = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))(
    ("sem_getvalue", _libc)
)


def value(address: int) -> int:
    """The count at this moment (sem_getvalue(3))."""
    found = ctypes.c_int()
    _value(address, ctypes.byref(found))
    return found.value
