"""Reader of uWSGI's configuration files: what stands in them, in order, repeated keys and all.

Knows how files lead to each other, and nothing of what an option means. The rules are those of uWSGI 2.0.31,
checked by running it (--show-config): what a line is (formats.py), conditions and loops (logic.py), and how
one file is filled in after the other: %x when a text is read (magic.py), then $(ENV), @(FILE) and %(KEY) over
everything that was read (references.py). A reference that is not set stays as it is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ipcmules.bus import log
from ipcmules.compat import formats, logic, references, schemes
from ipcmules.compat.magic import Magic
from ipcmules.errors import ConfigError

#: Options that read another file at once, and the one that reads it after everything else.
_INCLUDING = ("ini", "xml", "xmlconfig", "yaml", "yml", "json", "js", "include")
_INHERITING = "inherit"
#: What of these is read by its ending.
_ANY = ("include", "inherit")
READING = frozenset({*_INCLUDING, _INHERITING})

#: Variables that uWSGI has for itself (core/utils.c, parse_sys_envs()).
_OWN = frozenset(
    {
        *("RELOADS", "VASSALS_DIR", "EMPEROR_FD", "BROODLORD_NUM", "EMPEROR_FD_CONFIG", "EMPEROR_PROXY"),
        *("JAIL_PID", "ORIGINAL_PROC_NAME"),
    }
)
ENVIRONMENT = "environment"

#: Files that include files that include files: more is a circle that the names hide.
_DEEPEST = 32


@dataclass(frozen=True)
class Entry:
    """One option, filled in. file is the path it stands in, as it was given; line is 0 where none is known.

    block: the condition or loop it stands in. holds: False for one that a condition leaves out.
    """

    section: str
    key: str
    value: str
    line: int
    file: str = ""
    block: str = ""
    holds: bool = True

    @property
    def where(self) -> str:
        """For error texts."""
        return f"{self.file}, line {self.line}" if self.line else self.file


def read(
    path: str | Iterable[tuple[str, str]],
    sections: tuple[str, ...] = ("ipcmules", "uwsgi"),
    blocks: bool = False,
    reload: bool = False,
    environment: bool = False,
) -> list[Entry]:
    """The entries of the given sections, in the order of the file, those of included files in their places.

    path: a file, or FILE:SECTION, whose options are then those of that section alone, read as [uwsgi]; or
    several, each with the option that names it (ini, xml, yaml, json; '' goes by the ending).
    blocks: also what conditions leave out, as entries that do not hold.
    reload: what if-reload asks for. environment: read UWSGI_* variables first, as uWSGI does.

    Raises ConfigError, naming file and line, for a file that cannot be read, what its format does not allow,
    files that include each other, and a file that has none of the sections. One that another includes may
    have none: that is logged, as in uWSGI, whose section of an undefined name (ini = :%(x)) is none as well.
    """
    reader = _Reader(sections, blocks, reload)
    if environment:
        reader.environment()
    for option, each in [("", path)] if isinstance(path, str) else path:
        reader.read(each, (), option)
    for each in reader.inherited:
        reader.read(each, ())
    entries = reader.entries
    holding = [each for each in entries if each.holds]
    values = iter(
        references.fill(
            [(each.key, each.value) for each in holding], [f"{each.where}, {each.key}" for each in holding]
        )
    )
    return [replace(each, value=next(values)) if each.holds else each for each in entries]


class _Reader:
    """Collects the entries of files and of those they include."""

    def __init__(self, sections: tuple[str, ...], blocks: bool, reload: bool) -> None:
        self._sections = sections
        self._blocks = blocks
        self._reload = reload
        self._last = ""
        self._first: Magic | None = None
        self.entries: list[Entry] = []
        self.inherited: list[str] = []

    def environment(self) -> None:
        """Take the UWSGI_* variables: UWSGI_HTTP_SOCKET is http-socket."""
        for name, value in os.environ.items():
            if name.startswith("UWSGI_") and name[6:] not in _OWN and len(name) > 6:
                key = name[6:].lower().replace("_", "-")
                self._add(Entry("uwsgi", key, value, 0, f"{ENVIRONMENT} variable {name}"), ())

    def read(self, path: str, above: tuple[str, ...], option: str = "") -> None:
        """Read one file. above: the files that led here, real path and section. option: that names it."""
        file, asked = self._split(path)
        here = f"{file if schemes.scheme(file) else os.path.realpath(file)}:{asked}"
        if here in above or len(above) > _DEEPEST:
            raise ConfigError(f"{above[-1].rpartition(':')[0]} includes {file}, which leads to it again")
        self._last = file
        kind = formats.kind_of(file, option)
        magic = Magic(file, asked, self._first)
        self._first = self._first or magic
        text = magic.fill(schemes.content(file, f"{kind} file"))
        parsed = formats.parse(kind, file, text, asked)
        wanted = (asked,) if asked else self._sections
        if not set(wanted) & set(parsed.sections):
            if above:  # uWSGI warns, and goes on without what is not there
                log.event("warning", f"{_no_section(file, wanted, parsed.sections)}; nothing is read from it")
                return
            raise ConfigError(_no_section(file, wanted, parsed.sections))
        state = logic.Logic(self._reload)
        for each in parsed.items:
            if each.section in wanted:
                section = "uwsgi" if asked else each.section
                self._take(Entry(section, each.key, each.value, each.line, file), state, (*above, here))

    def _split(self, path: str) -> tuple[str, str]:
        """File and section of FILE:SECTION; without a file it is the one that was read last."""
        if schemes.scheme(path):
            return path, ""
        file, colon, section = path.rpartition(":")
        if not colon or os.path.exists(path):
            return path, ""
        return file or self._last, section

    def _take(self, entry: Entry, state: logic.Logic, above: tuple[str, ...]) -> None:
        if logic.ends(entry.key):
            state.end()
        values = state.apply(entry.value)
        if logic.begins(entry.key):
            if values:
                state.begin(entry.key, values[0], self._so_far(), entry.where)
        elif not logic.ends(entry.key):
            for value in values:
                self._add(replace(entry, value=value, block=state.block), above)
            if not values and self._blocks:
                self.entries.append(replace(entry, block=state.block, holds=False))

    def _so_far(self) -> list[tuple[str, str]]:
        """The options by now, those that --set and the like define included."""
        found = []
        for each in self.entries:
            if each.holds:
                found.append((each.key, each.value))
                name, equals, text = each.value.partition("=")
                if each.key in references.DEFINING and equals:
                    found.append((name.strip(), text))
        return found

    def _add(self, entry: Entry, above: tuple[str, ...]) -> None:
        self.entries.append(entry)
        # Only what is known by now can be in the name: uWSGI includes before it fills in the rest.
        if entry.key == _INHERITING:
            self.inherited.append(entry.value)
        elif entry.key in _INCLUDING:
            try:
                self.read(entry.value, above, "" if entry.key in _ANY else entry.key)
            except ConfigError as error:
                raise ConfigError(f"{entry.where}: {error}") from error


def _no_section(file: str, wanted: tuple[str, ...], there: list[str]) -> str:
    names = " nor ".join(f"[{name}]" for name in wanted)
    text = f"{file} has neither {names}" if len(wanted) > 1 else f"{file} has no {names}"
    if not there:
        return f"{text}: add the section that holds the options"
    found = ", ".join(f"[{name}]" for name in dict.fromkeys(there))
    return f"{text}, but {found}: name one of these, {file}:{there[0]}"
