"""The bus description: the file from which a process learns all it needs to join a bus.

Written by the master alone, by rename, before the objects it names are created and again when
they exist; read by everybody else. Specified in docs/formats.md.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ipcmules.bus.config import BusConfig
from ipcmules.bus.places import Places, check_ours, denied
from ipcmules.bus.version import __version__
from ipcmules.errors import AccessError, FormatError
from ipcmules.kernel import exhaustion, files
from ipcmules.kernel.processes import ProcessId
from ipcmules.kernel.undisturbed import undisturbed

FORMAT = 3


@dataclass(frozen=True)
class QueueSpec:
    """One message queue: whose it is ('pool', 'mule3', 'farm.mail', 'spool.1'), its kernel name and shape."""

    endpoint: str
    name: str
    depth: int
    size: int

    @property
    def shared(self) -> bool:
        """True if several processes receive from it: a frame of it carries one message."""
        return not self.endpoint.startswith("mule")

    @property
    def is_spool(self) -> bool:
        """True if it carries names of tasks: what is lost with it is still in the directory."""
        return self.endpoint.startswith("spool.")


@dataclass(frozen=True)
class Description:
    """What the file holds."""

    config: BusConfig
    generation: int
    master: ProcessId
    queues: tuple[QueueSpec, ...] = ()
    semaphores: tuple[int, ...] = ()  #: System V keys of locks 0..N
    #: False until every object named here exists; True when a process can join.
    complete: bool = False

    def queue(self, endpoint: str) -> QueueSpec | None:
        """The queue of an endpoint, None if the bus has none."""
        return next((each for each in self.queues if each.endpoint == endpoint), None)

    def to_json(self) -> dict[str, Any]:
        """What the file holds, as plain values (docs/formats.md)."""
        return {
            "format": FORMAT,
            "version": __version__,
            "config": self.config.to_json(),
            "generation": self.generation,
            "master": self.master._asdict(),
            "queues": [asdict(each) for each in self.queues],
            "semaphores": list(self.semaphores),
            "complete": self.complete,
        }


def write(where: Places, description: Description) -> None:
    """Replace the description file. Raises OSError, with its name."""
    with undisturbed:
        import json

    data = json.dumps(description.to_json()).encode()
    try:
        files.replace(where.description, data)
    except OSError as error:
        raise OSError(error.errno, error.strerror, where.description) from error


def read(where: Places) -> Description | None:
    """Read the description; None if there is none, or none that this version and user can read.

    Raises LimitError as load().
    """
    try:
        return load(where)
    except (FormatError, AccessError):
        return None


def load(where: Places) -> Description | None:
    """Read the description; None if there is none.

    Raises FormatError if another version wrote it, AccessError if it is another user's, LimitError where
    there is no descriptor to read it by.
    """
    with undisturbed:
        import json

    check_ours(where)
    try:
        with open(where.description, encoding="utf-8") as file:
            data = json.load(file)
    except PermissionError as error:
        raise denied(where, where.description, error) from error
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and exhaustion.refused(error):
            raise exhaustion.explain(error, f"the description of bus {where.bus!r} cannot be read") from error
        return None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise FormatError(_foreign(where, data))
    try:
        return _from_json(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"{_foreign(where, data)} ({error})") from error


def _foreign(where: Places, data: Any) -> str:
    found = data if isinstance(data, dict) else {}
    return (
        f"bus {where.bus!r} was started by ipcmules {found.get('version', 'of an unknown version')} "
        f"(format {found.get('format', 'unknown')}), which ipcmules {__version__} (format {FORMAT}) cannot "
        "read: stop or clean it with the version that started it; only if that is lost, "
        f"remove {where.description}: the next start then keeps its messages, and drops signals that nobody "
        "has handled"
    )


def _from_json(data: dict[str, Any]) -> Description:
    return Description(
        config=BusConfig.from_json(data["config"]),
        generation=data["generation"],
        master=ProcessId(**data["master"]),
        queues=tuple(QueueSpec(**each) for each in data["queues"]),
        semaphores=tuple(data["semaphores"]),
        complete=data["complete"],
    )
