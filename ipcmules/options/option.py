"""What an option is, and how a field of a bus's description carries its options.

locks: int = entry(0, Option("locks", kinds.Number(), "Have locks 0 to N.", SAME))
"""

from __future__ import annotations

from dataclasses import field, fields
from typing import Any, NamedTuple, TypeVar

from ipcmules.options.kinds import Kind

Value = TypeVar("Value")

#: What a name means in the [uwsgi] section of an ini file. uWSGI 2.0 has it, and means the same:
SAME = "same"
#: uWSGI 2.0 has no such option, so it cannot mean another thing there: it is ours in [uwsgi], too.
OURS = "ours"
#: uWSGI has it and means another thing: in [uwsgi] it is uWSGI's, and ours in [ipcmules] and TOML alone.
OTHER = "other"
#: uWSGI has no such option, but the name is a plain word, and a [uwsgi] section may have values of its own
#: under any name (`bus = kafka:9092`, used as %(bus)): there it is one of these, and ours elsewhere.
WORD = "word"


class Option(NamedTuple):
    """One option of a bus.

    name: as on the command line, without hyphens. help: for `ipcmules run --help` and all else.
    uwsgi: SAME, OURS, OTHER or WORD, what a [uwsgi] section means by the name.
    more: what the reference says besides, in Markdown.
    aliases: further names, everywhere. file_names: further names that only files have.
    argument: the name as an argument of Bus(), None for the field's, "" where Bus() has none.
    in_bus: help for the argument, where it is given in another way.
    apart: the launcher gathers it by this name instead of the field's, and then puts both together;
    uwsgi_apart: the same in [uwsgi].
    default: in words, where it is not the field's.
    only: "line" for the command line alone, "files" for files alone.
    field, group: filled in by the table.
    """

    name: str
    kind: Kind
    help: str
    uwsgi: str
    more: str = ""
    aliases: tuple[str, ...] = ()
    file_names: tuple[str, ...] = ()
    argument: str | None = None
    in_bus: str = ""
    apart: str = ""
    uwsgi_apart: str = ""
    default: str = ""
    only: str = ""
    field: str = ""
    group: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """All names that a file may have for it."""
        return (self.name, *self.aliases, *self.file_names)

    @property
    def in_uwsgi(self) -> bool:
        """Whether its name in a [uwsgi] section means this option."""
        return self.uwsgi in (SAME, OURS)

    @property
    def flags(self) -> tuple[str, ...]:
        """Its names on the command line, with hyphens; none where only files have it."""
        if self.only == "files":
            return ()
        short = tuple(f"-{each}" for each in self.aliases if len(each) == 1)
        return (*short, *(f"--{each}" for each in (self.name, *self.aliases) if len(each) > 1))


def entry(default: Value, *options: Option, kind: Kind | None = None) -> Value:
    """A field with its options; the first one's kind, else `kind`, says what the field's value may be."""
    checked = options[0].kind if options and kind is None else kind
    # To mypy a field with a default; dataclass() sees what it is.
    found: Any = field(default=default, metadata={"options": options, "kind": checked})
    return found  # type: ignore[no-any-return]


def options_of(group: type, title: str) -> list[Option]:
    """The options of a class's fields, each with the names of its field and group."""
    return [
        each._replace(field=one.name, group=title)
        for one in fields(group)
        for each in one.metadata.get("options", ())
    ]
