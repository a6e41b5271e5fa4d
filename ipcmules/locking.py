"""The flat functions of locks, and Lock: numbered locks of the bus this process is on.

Knows membership and nothing of messages or signals.
"""

from __future__ import annotations

from types import TracebackType

from ipcmules import inlining, membership


def lock(number: int = 0, timeout: float | None = None) -> bool:
    """Take a lock for this thread, waiting up to timeout seconds (None: for ever).

    Returns False when the timeout is over. The kernel frees it if this process dies, however it dies.
    Raises LockError if this thread has it already, UnknownTarget for a number beyond --locks.
    """
    return (inlining.current or membership.current()).locks.lock(number, timeout)


def unlock(number: int = 0) -> None:
    """Free a lock. Raises LockError if this thread does not hold it."""
    (inlining.current or membership.current()).locks.unlock(number)


def is_locked(number: int = 0) -> bool:
    """True if some thread of some process holds the lock now."""
    return (inlining.current or membership.current()).locks.is_locked(number)


class Lock:
    """A numbered lock as a context manager: `with Lock(2): ...`.

    number: 0 to the bus's --locks. timeout: seconds to wait; TimeoutError when it is over.
    """

    def __init__(self, number: int = 0, timeout: float | None = None) -> None:
        self.number = number
        self.timeout = timeout

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
        if not lock(self.number, self.timeout):
            raise TimeoutError(f"lock {self.number} was not free within {self.timeout} s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        unlock(self.number)
