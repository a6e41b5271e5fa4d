"""How tasks of the cluster are called in NATS. Specified in docs/formats-cluster.md."""

from __future__ import annotations

import re

from ipcmules.carrier.tasks.values import PAUSED
from ipcmules.spooler import clustered
from ipcmules.spooler import names as files

_NONE = "none"
_CONSUMER = "priority-"
#: What a subject's part cannot have.
_UNFIT = re.compile(r"[\s.*>\x00-\x1f\x7f]")


def plain(name: str) -> str:
    """A name of a cluster, spooler or host: as names.py has it."""
    return name.replace(".", "%")


class TaskNames:
    """The names of one cluster."""

    def __init__(self, cluster: str) -> None:
        self._cluster = plain(cluster)

    def stream(self, spooler: str) -> str:
        """The stream of a spooler's tasks."""
        return f"ipcmules-{self._cluster}-spooler-{plain(spooler)}"

    def task(self, spooler: str, priority: str, part: str) -> str:
        """The subject of a task; part: part_of() its name. '*' is any."""
        return f"ipcmules.{self._cluster}.task.{plain(spooler)}.{priority or _NONE}.{part}"

    @staticmethod
    def consumer(priority: str) -> str:
        """The consumer of a priority."""
        return f"{_CONSUMER}{priority or _NONE}"

    @staticmethod
    def priority_of(consumer: str) -> str:
        """The reverse."""
        found = consumer.removeprefix(_CONSUMER)
        return "" if found == _NONE else found

    @property
    def states(self) -> str:
        """The stream of what is said of tasks."""
        return f"ipcmules-{self._cluster}-task-states"

    def state(self, spooler: str, part: str) -> str:
        """Where is said how a task stands."""
        return f"ipcmules.{self._cluster}.state.{spooler if spooler == '*' else plain(spooler)}.{part}"

    def flow(self, spooler: str, name: str) -> str:
        """Where is said how far a chain or group is: among the states, as no task is called so."""
        return self.state(spooler, f"~flow~{own_part(name)}")

    def note(self, spooler: str, about: str) -> str:
        """Where all hosts keep something of a spooler, in the stream of what is said of tasks.

        No host's name has a '~', and with one of those a task's part begins, or with '~'.
        """
        return self.state(spooler, f"note~{about}")

    @property
    def pauses(self) -> str:
        """Where all hosts keep what is paused of spoolers."""
        return self.note("*", PAUSED)

    @property
    def dead_stream(self) -> str:
        """The stream of dead tasks."""
        return f"ipcmules-{self._cluster}-dead-tasks"

    def dead(self, spooler: str, part: str) -> str:
        """The subject of a dead task."""
        return f"ipcmules.{self._cluster}.deadtask.{spooler if spooler == '*' else plain(spooler)}.{part}"

    def word(self, host: str) -> str:
        """Where a host is told something."""
        return f"ipcmules.{self._cluster}.word.{plain(host)}"

    @property
    def word_to_all(self) -> str:
        """Where all are told that a spooler has a priority more."""
        return f"ipcmules.{self._cluster}.priorities"


def own_part(name: str) -> str:
    """The part of a subject that is a task's alone, by the name of its file."""
    return _UNFIT.sub("%", name.removeprefix(files.TASK))


def part_of(name: str) -> str:
    """The part under which a task is stored: that of its key where it has one."""
    digest = clustered.digest_in(name)
    return f"~{digest}" if digest else own_part(name)
