"""Reader of uWSGI's ini files: what stands in them, in order, repeated keys and all.

Knows the file format and nothing of what an option means. No ini library serves: all of them refuse or
fold repeated keys, which are how uWSGI's lists are written. The rules are those of uWSGI 2.0.31, checked
by running it (--show-config): a line without '=' is a key with a blank value, values run to the end of the
line (no inline comments, no quotes, no continuation), a section may come several times, a %x that means
nothing is left out, and a reference or an environment variable that is not set stays as it is written.

As there, one file is filled in after the other: %x when a line is read, then $(ENV), @(FILE) and %(KEY) over
everything that was read (references.py). Conditions and loops are refused: what they give depends on the
machine that uWSGI ran on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from ipcmules.compat import references
from ipcmules.compat.magic import Magic
from ipcmules.errors import ConfigError

#: Options that read another file at once, and the one that reads it after everything else.
_INCLUDING = ("ini", "include")
_INHERITING = "inherit"

#: Options of uWSGI's that add other options by conditions and in loops (core/config.c, "opt logic").
_LOOPS = ("for", "for-glob", "for-times", "for-readline")
_CONDITIONS = "if-"
_ENDS = ("end", "endfor", "end-for", "endif", "end-if")

#: Files that include files that include files: more is a circle that the names hide.
_DEEPEST = 32


@dataclass(frozen=True)
class Entry:
    """One line: 'key = value', filled in. file is the path it stands in, as it was given."""

    section: str
    key: str
    value: str
    line: int
    file: str = ""


def read(path: str, sections: tuple[str, ...] = ("ipcmules", "uwsgi"), blocks: bool = False) -> list[Entry]:
    """The entries of the given sections, in the order of the file, those of included files in their places.

    path: a file, or FILE:SECTION, whose options are then those of that section alone, read as [uwsgi].
    blocks: leave conditions and loops in, as the options they are written as, instead of refusing them.
    Placeholders: magic.py and references.py list them.

    Raises ConfigError, naming file and line, for a file that cannot be read, a broken section header, a key
    outside a section, a line without a key, a condition or loop, files that include each other, and a file
    that has none of the sections.
    """
    reader = _Reader(sections, blocks)
    reader.read(path, ())
    for each in reader.inherited:
        reader.read(each, ())
    values = references.fill([(each.key, each.value) for each in reader.entries], _where(reader.entries))
    return [
        Entry(each.section, each.key, value, each.line, each.file)
        for each, value in zip(reader.entries, values, strict=True)
    ]


def _where(entries: list[Entry]) -> list[str]:
    return [f"{each.file}, line {each.line}, {each.key}" for each in entries]


class _Reader:
    """Collects the entries of a file and of those it includes."""

    def __init__(self, sections: tuple[str, ...], blocks: bool) -> None:
        self._sections = sections
        self._blocks = blocks
        self._last = ""
        self.entries: list[Entry] = []
        self.inherited: list[str] = []

    def read(self, path: str, above: tuple[str, ...]) -> None:
        """Read one file. above: the files that led here, real path and section."""
        file, asked = self._split(path)
        here = f"{os.path.realpath(file)}:{asked}"
        if here in above or len(above) > _DEEPEST:
            raise ConfigError(f"{above[-1].rpartition(':')[0]} includes {file}, which leads to it again")
        self._last = file
        wanted = (asked,) if asked else self._sections
        section = None
        found = False
        for number, line in _lines(file, Magic(file, asked)):
            if line.startswith("["):
                section = _header(file, number, line)
                found = found or section in wanted
                continue
            key, value = _option(file, number, line, section)
            if section is not None and section in wanted:
                self._take(Entry("uwsgi" if asked else section, key, value, number, file), (*above, here))
        if not found:
            names = " nor ".join(f"[{name}]" for name in wanted)
            raise ConfigError(f"{file} has neither {names}: add the section that holds the options")

    def _split(self, path: str) -> tuple[str, str]:
        """File and section of FILE:SECTION; without a file it is the one that was read last."""
        if "://" in path:
            raise ConfigError(
                f"ini file {path!r}: only files are read here: fetch it first, then name the file"
            )
        file, colon, section = path.rpartition(":")
        if not colon or os.path.exists(path):
            return path, ""
        return file or self._last, section

    def _take(self, entry: Entry, above: tuple[str, ...]) -> None:
        where = f"{entry.file}, line {entry.line}"
        if not self._blocks and is_logic(entry.key):
            raise ConfigError(
                f"{where}: {entry.key} = {entry.value}: conditions and loops (if-..., for...) are not read "
                "here: write out what it gives on this machine, or keep it in a file for uWSGI alone"
            )
        self.entries.append(entry)
        if entry.key in _INCLUDING or entry.key == _INHERITING:
            # Only what is known by now can be in the name: uWSGI includes before it fills in the rest.
            if entry.key == _INHERITING:
                self.inherited.append(entry.value)
            else:
                _check_kind(entry.value, where)
                try:
                    self.read(entry.value, above)
                except ConfigError as error:
                    raise ConfigError(f"{where}: {error}") from error


def is_logic(key: str) -> bool:
    """True for an option that begins or ends a condition or loop."""
    return key in _LOOPS or key in _ENDS or key.startswith(_CONDITIONS)


def _check_kind(path: str, where: str) -> None:
    if path.endswith((".xml", ".yaml", ".yml", ".json", ".js")):
        raise ConfigError(f"{where}: {path!r} is not an ini file, and no other kind is read: convert it")


def _option(file: str, number: int, line: str, section: str | None) -> tuple[str, str]:
    key, _, value = (part.strip() for part in line.partition("="))
    if not key:
        raise ConfigError(f"{file}, line {number}: {line!r} has no option before '=': write OPTION = VALUE")
    if section is None:
        raise ConfigError(
            f"{file}, line {number}: {line!r} stands before any section: put [ipcmules] above it"
        )
    return key, value


def _lines(path: str, magic: Magic) -> Iterator[tuple[int, str]]:
    """Numbered lines, placeholders filled in, stripped, without blank ones and comments."""
    try:
        # surrogateescape: a path in another encoding must come out as the bytes it is.
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline=None) as file:
            text = file.read()
    except OSError as error:
        raise ConfigError(f"ini file {path!r} cannot be read: {error.strerror}; correct --ini") from error
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if "\0" in line:
            raise ConfigError(f"{path}, line {number}: there is a NUL byte in it: is this an ini file?")
        if line and line[0] not in "#;":
            yield number, magic.fill(line).strip() or line


def _header(path: str, number: int, line: str) -> str:
    if not line.endswith("]"):
        raise ConfigError(f"{path}, line {number}: section {line!r} is not closed: write [NAME]")
    return line[1:-1].strip()
