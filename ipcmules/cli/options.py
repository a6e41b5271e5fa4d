"""Options as they are given, whatever they stand in: a name and a text become part of a bus.

The command line, an ini file and a TOML file all give names and texts. Knows nothing of files and of click.
`Given` collects, `assembly.build` makes the BusConfig.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ipcmules.cli import readers
from ipcmules.errors import ConfigError
from ipcmules.options.kinds import MERCY, Number
from ipcmules.options.table import IN_FILES as OPTIONS

__all__ = ["OPTIONS", "Given", "named", "number", "seconds"]

Value = TypeVar("Value")


def number(text: str, lowest: int = 0, largest: int = 4096) -> int:
    """A whole number in a range, or ConfigError."""
    return Number(lowest=lowest, highest=largest).read(text)


def seconds(text: str) -> float:
    """Seconds, 0 or more, or ConfigError."""
    return MERCY.read(text)


def named(origin: str, read: Callable[[str], Value], text: str) -> Value:
    """read(text), its error beginning with where the text stood: '--locks', 'app.ini, line 3, locks'."""
    try:
        return read(text)
    except ValueError as error:  # ConfigError, and int()'s on absurdly long numbers
        raise ConfigError(f"{origin}: {error}") from error


class Given:
    """Options as they were given, one source after the other: lists add up, else the last one counts."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        #: Words about options that are not used here, for one line on stderr.
        self.unused: list[str] = []
        #: What will be missing, with the options that ask for it, for another line.
        self.missing: dict[str, dict[str, None]] = {}
        #: True where the options are read again for a reload (uWSGI's if-reload).
        self.reload = False
        #: Everything as it was written, for uwsgi.opt; None for an option without a value.
        self.raw: list[tuple[str, str | None]] = []

    def add(self, name: str, text: str, origin: str, raw: bool = True, uwsgi: bool = False) -> None:
        """Take one option. Raises ConfigError that begins with origin.

        raw: note it for uwsgi.opt too. uwsgi: it stood in a [uwsgi] section.
        """
        option = OPTIONS[name]
        if raw:
            bare = not text and name == "mule"
            self.raw.append((name, None if bare or option.kind.toml == "flag" else text))
        value = named(origin, lambda given: readers.read(option, given), text)
        field = (uwsgi and option.uwsgi_apart) or option.apart or option.field
        if option.kind.many:
            self.extend(field, value)
        else:
            self._values[field] = value

    def extend(self, field: str, values: Iterable[Any]) -> None:
        """Add to a field of which there are several values."""
        self._values[field] = (*self._values.get(field, ()), *values)

    def replace(self, field: str, value: Any) -> None:
        """Set a field."""
        self._values[field] = value

    def get(self, field: str, default: Any) -> Any:
        """What was given for a field, or apart from it, else default."""
        return self._values.get(field, default)
