"""Where messages, signals and tasks go while ipcmules.testing.inline() is in force; nothing of how they run.

The flat functions look here where they would otherwise look for a bus, so that inline() needs none and
their common path costs nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ipcmules.signals.registry import Registration


class Inline(Protocol):
    """What runs calls in this process, at once. What a handler raises is raised by the call."""

    def message(self, message: bytes, target: int | str | bytes) -> bool:
        """Hand a message to whoever would receive it."""

    def signal(self, number: int) -> None:
        """Call the handler of a signal."""

    def task(self, task: Mapping[Any, Any]) -> Any:
        """Run a task; returns its handle."""

    def whole(self, value: Any) -> Any:
        """The handle of a chain or group that was run, by what it came to."""

    def unfinished(self, part: Any) -> Any:
        """The handle of a chain or group that did not go on after a task, by the handle of that."""

    def find(self, text: str) -> Any:
        """The handle of a task that was run, by its ID or path; None for what was not."""

    def number_of(self, registration: Registration) -> int:
        """The number of a signal whose number is to be chosen when the process joins a bus."""

    def last_signal(self) -> int:
        """The number of the last signal that was handled, 0 if none."""

    @property
    def locks(self) -> LockSet:
        """Locks of this process alone."""


class LockSet(Protocol):
    """Numbered locks, as ipcmules.locks.locks.Locks."""

    def lock(self, number: int = 0, timeout: float | None = None) -> bool:
        """Take a lock, within so many seconds."""

    def unlock(self, number: int = 0) -> None:
        """Free a lock."""

    def is_locked(self, number: int = 0) -> bool:
        """True if somebody holds it."""


#: What is in force now. Set by ipcmules.testing alone.
current: Inline | None = None
