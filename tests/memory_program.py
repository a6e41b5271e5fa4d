"""Makes every public function of an attached process where the system gives no more memory.

    python -c "import memory_program; memory_program.main()" STEP [NAME ...]      with IPCMULES_BUS

Each in a process of its own, on a bus that it has joined: one allocation of the call fails (CPython's own
_testcapi.set_nomemory), the first, then the one STEP later, and so on, until a call comes to its end before.
It works, or raises MemoryError or an error that says so; then the same call works, in this thread and in
another, and nothing has stayed locked or open. Prints a line a function.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable

from interrupted_program import descriptors, elsewhere
from ipcmules.kernel import exhaustion
from ipcmules.member import membership
from public_calls import CALLS, double, loop

try:
    from _testcapi import remove_mem_hooks, set_nomemory
except ImportError:  # some distributions leave CPython's tests out
    set_nomemory = remove_mem_hooks = None  # type: ignore[assignment]

#: No call allocates so often.
_MOST = 200_000
_ENDED, _REFUSED, _WORKED, _WRONG = 2, 3, 4, 5


def _is_memory(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, is one of memory."""
    seen = 0
    while error is not None and seen < 9:
        if isinstance(error, MemoryError) or (
            isinstance(error, OSError) and exhaustion.number_of(error) == errno.ENOMEM
        ):
            return True
        # As ctypes says it, as io does of a lock, and as CPython does where it has lost the error on its way.
        if any(each in str(error) for each in ("MemoryError", "can't allocate")) or isinstance(
            error, SystemError
        ):
            return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False


def _made(call: Callable[[], object], place: int) -> int:
    loop()
    double()
    membership.current()
    call()
    before = descriptors()
    error: BaseException | None = None
    set_nomemory(place, place + 1)
    try:
        call()
    except BaseException as raised:
        error = raised
    remove_mem_hooks()
    call()
    elsewhere(call, f"allocation {place}")
    if error is not None and not _is_memory(error):
        traceback.print_exception(error)
        return _WRONG
    del error
    gc.collect()  # an exception's frames may be in a circle
    more = descriptors() - before
    if sum(more.values()) > 3:
        print(more, file=sys.stderr)
        return _WRONG
    return _WORKED


def _apart(call: Callable[[], object], place: int) -> int:
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        code = _made(call, place)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _allocations(call: Callable[[], object]) -> int:
    """About how many a call makes: where none fails any more."""
    most = 64
    while most < _MOST and _fails(call, most):
        most *= 2
    return most


def _fails(call: Callable[[], object], place: int) -> bool:
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0
    code = 1
    try:
        loop()
        double()
        membership.current()
        call()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        signal.setitimer(signal.ITIMER_REAL, 0.5)  # without any memory it may try for ever
        set_nomemory(place, 0)
        try:
            call()
            code = 0
        finally:
            remove_mem_hooks()
    finally:
        os._exit(code)


def main() -> None:
    """The command line above."""
    if set_nomemory is None:
        print("done")
        return
    step = int(sys.argv[1])
    wrong = 0
    for name, call in CALLS.items():
        if len(sys.argv) > 2 and name not in sys.argv[2:]:
            continue
        most = _allocations(call)
        for place in range(1, most, step):
            code = _apart(call, place)
            if code != _WORKED:
                print(f"{name}, allocation {place}: {code}", file=sys.stderr, flush=True)
                wrong += 1
        print(f"{name}: {most} allocations", flush=True)
    print(f"{wrong} wrong" if wrong else "done", flush=True)
    sys.exit(bool(wrong))
