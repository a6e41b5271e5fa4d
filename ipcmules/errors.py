"""Every error a user of ipcmules can meet.

Knows nothing of the rest of the project. Where uWSGI raises something of its own, ours is a
subclass of the same built-in class (ValueError for state and unknown names, TypeError for argument
types, OSError for limits and the network), so code that was written against uWSGI catches it.

Every message names the value that was wrong, the reason, and the remedy.
"""

from __future__ import annotations


class IpcMulesError(Exception):
    """The base of everything ipcmules raises on purpose."""


class ConfigError(IpcMulesError, ValueError):
    """A bus description that cannot be: a malformed option, a farm of a mule that does not exist."""


class NotAttached(IpcMulesError, ValueError):
    """This process is on no bus, and none could be found for it."""


class BusRunning(IpcMulesError, ValueError):
    """The bus has a living master already; the message names its pid."""


class BusStopped(IpcMulesError, ValueError):
    """The bus ended while this process was using it."""


class StartError(IpcMulesError, RuntimeError):
    """The bus could not start: an app or a program failed to load. Carries its traceback as text."""


class ReloadError(IpcMulesError, RuntimeError):
    """A reload failed and the old code goes on. Carries the reason, tracebacks included, as text."""


class FormatError(IpcMulesError, ValueError):
    """What a bus left or says of itself was written by another version of ipcmules, and cannot be read."""


class LimitError(IpcMulesError, OSError):
    """A kernel limit is in the way; the message gives need, limit and the command that mends it."""


class AccessError(IpcMulesError, PermissionError):
    """Something under one of our names belongs to another user, or is not what it should be."""


class StandstillError(IpcMulesError, RuntimeError):
    """A send that would wait for ever: only the thread that sends could make room."""


class UnknownTarget(IpcMulesError, ValueError):
    """A mule, farm, lock or signal number that this bus does not have."""


class NotAMule(IpcMulesError, ValueError):
    """A call that only a mule (or a member of a farm) can make."""


class SignalError(IpcMulesError, ValueError):
    """A signal number or target that cannot be registered."""


class LockError(IpcMulesError, ValueError):
    """A lock that this thread holds already, or does not hold."""


class MessageTypeError(IpcMulesError, TypeError):
    """A message that is neither bytes-like nor str."""


class CacheError(IpcMulesError, ValueError):
    """A cache that this bus does not have, a key or value that cannot be, a number that is none."""


class CacheFull(CacheError):
    """A cache has no room for this entry: it is full and told to refuse, or the value is too large for it."""


class CounterError(IpcMulesError, ValueError):
    """A name or number that a counter cannot have, or more counters than there is room for."""


class AreaError(IpcMulesError, ValueError):
    """Bytes that are not in a shared area, or a lock of one that would wait for ever."""


class EventError(IpcMulesError, ValueError):
    """A timer, cron, file monitor or time zone that cannot be."""


class EventTypeError(IpcMulesError, TypeError):
    """An argument of a timer, cron or file monitor that has the wrong type."""


class SpoolError(IpcMulesError, ValueError):
    """A task that cannot be: a bad key or value, arguments that are too large, an unknown directory."""


class SpoolWriteError(OSError, SpoolError):
    """A task that could not be written: a full disk, missing permission. Nothing is left of it."""


class TaskError(IpcMulesError, RuntimeError):
    """Asking for a task's result: there is none, and none will come. Its subclasses say why."""


class TaskFailed(TaskError):
    """The task is dead: it failed for the last time. The message carries the last traceback as text.

    reason, traceback: of the last failure, "" where none is known.
    """

    def __init__(self, message: str, reason: str = "", traceback: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.traceback = traceback

    def __reduce__(self) -> tuple[type[TaskFailed], tuple[str, str, str]]:
        return type(self), (str(self), self.reason, self.traceback)


class TaskCancelled(TaskError):
    """The task was cancelled, or dropped by its own function; it does not run again."""


class TaskExpired(TaskError):
    """The task was not begun in the time that its function's `expires` leaves; it does not run any more."""


class TaskUnknown(TaskError):
    """Nothing is there that tells of the task: it is done and kept no result, or was removed by hand."""


class TaskTimeout(IpcMulesError, TimeoutError):
    """The task was not over in time. It goes on."""


class SoftTimeout(IpcMulesError, TimeoutError):
    """Raised in a task's function that takes longer than its soft_timeout."""


class Retry(IpcMulesError):
    """To be raised in a task's function: run the task again, as the result SPOOL_RETRY does.

    after: seconds until then; None leaves that to the function's backoff, as for SPOOL_RETRY. It counts as an
    attempt where the function has retries, and else does not. reason: for the log and for people.
    """

    def __init__(self, after: float | None = None, reason: str = "") -> None:
        if after is not None and (
            isinstance(after, bool) or not isinstance(after, (int, float)) or not 0 <= after <= 1e9
        ):
            raise ValueError(f"Retry(after={after!r}): give seconds, 0 or more")
        super().__init__(reason or "the function raised Retry")
        self.after = after

    def __reduce__(self) -> tuple[type[Retry], tuple[float | None, str]]:
        return type(self), (self.after, str(self))


class Drop(IpcMulesError):
    """To be raised in a task's function: remove the task, which is neither done nor failed; the log says why.

    reason: for people, as in Drop("no such user").
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or "the function raised Drop")
