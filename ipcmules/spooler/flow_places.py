"""Where a chain or group has its parts, and what is known of them: files beside the tasks, or a cluster.

How a whole goes on (flows.py) is the same in both. Whoever runs tasks of another place says so by register().
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ipcmules.kernel import files
from ipcmules.spooler import codec, flow_files, names, outcomes, standing
from ipcmules.spooler.enqueue import Writer
from ipcmules.spooler.flow_files import State
from ipcmules.spooler.outcomes import End
from ipcmules.spooler.standing import Standing


class Place(Protocol):
    """What one whole needs of where its parts are. All raise OSError, or Retry: it goes on later."""

    def state(self) -> State | None:
        """How far it is; None where it has not begun."""

    def save(self, state: State, titles: str) -> None:
        """Say how far it is. titles: what runs then, for people."""

    def standings(self, parts: Sequence[str]) -> list[Standing]:
        """How parts stand."""

    def clear_marks(self) -> None:
        """Before a stage is written: no part is marked."""

    def mark(self, part: str) -> None:
        """A part is not over. The last mark that goes says that all are."""

    def put(self, part: str, task: Mapping[Any, Any]) -> None:
        """Write the task of a part. Raises SpoolError for what cannot be one."""

    def end(self, part: str) -> End | None:
        """How a part ended, with its value."""

    def forget(self) -> None:
        """The whole has succeeded: nobody asks for its parts any more."""


class FilesPlace:
    """In a spool directory. name: of the whole, relative to it."""

    def __init__(self, directory: str, name: str) -> None:
        self._directory = directory
        self._name = name
        self._writer: Writer | None = None

    def state(self) -> State | None:
        """See Place."""
        return flow_files.read(flow_files.state_of(self._directory, self._name))

    def save(self, state: State, titles: str) -> None:
        """See Place. titles: they stand in the task's progress."""
        del titles
        flow_files.write(self._directory, state)

    def standings(self, parts: Sequence[str]) -> list[Standing]:
        """See Place."""
        return [standing.of(self._directory, part) for part in parts]

    def clear_marks(self) -> None:
        """See Place."""
        flow_files.clear_marks(self._directory, self._name)

    def mark(self, part: str) -> None:
        """See Place."""
        flow_files.mark(self._directory, self._name, part)

    def put(self, part: str, task: Mapping[Any, Any]) -> None:
        """See Place."""
        arguments = dict(task)
        body = arguments.pop("body", b"")
        if self._writer is None:
            self._writer = Writer(self._directory, make=False)
        self._writer.put(codec.pack(arguments), body, 0, os.path.dirname(part), names.bare(part))
        flow_files.wake(self._directory, part)

    def end(self, part: str) -> End | None:
        """See Place."""
        return outcomes.read(self._directory, part)

    def forget(self) -> None:
        """See Place."""
        state = self.state()
        if state is not None:
            for part in state.all_parts():
                files.remove(f"{self._directory}/{names.result_of(part)}")
        flow_files.forget(self._directory, self._name)


#: By directory: what opens the place of a whole in it, by its name and priority.
_others: dict[str, Callable[[str, str], Place]] = {}


def register(directory: str, opener: Callable[[str, str], Place]) -> None:
    """The tasks in a directory have their wholes elsewhere."""
    _others[directory] = opener


def is_elsewhere(directory: str) -> bool:
    """True if what is known of a whole in that directory is no file in it."""
    return directory in _others


def of(directory: str, name: str, priority: str = "") -> Place:
    """The place of a whole, by the directory of its task. priority: as it stands in the task."""
    opener = _others.get(directory)
    return FilesPlace(directory, name) if opener is None else opener(name, priority)
