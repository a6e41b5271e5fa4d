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


class EventError(IpcMulesError, ValueError):
    """A timer, cron, file monitor or time zone that cannot be."""


class EventTypeError(IpcMulesError, TypeError):
    """An argument of a timer, cron or file monitor that has the wrong type."""


class SpoolError(IpcMulesError, ValueError):
    """A task that cannot be: a bad key or value, arguments that are too large, an unknown directory."""


class SpoolWriteError(OSError, SpoolError):
    """A task that could not be written: a full disk, missing permission. Nothing is left of it."""
