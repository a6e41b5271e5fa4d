"""Reader of uWSGI's ini files: what stands in them, in order, repeated keys and all.

Knows the file format and nothing of what an option means. No ini library serves: all of them refuse or
fold repeated keys, which are how uWSGI's lists are written. The rules are those of uWSGI 2.0, checked
by running it: a line without '=' is a key with a blank value, values run to the end of the line (no
inline comments, no quotes, no continuation), a section may come several times, and a placeholder or an
environment variable that is not set stays as it is written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ipcmules.errors import ConfigError

#: Options whose value K=V defines the placeholder %(K), beside what else they do.
_DEFINING = ("set", "set-placeholder", "set-ph")

_MAGIC = re.compile(r"%(?:\((?P<name>[^)]*)\)|(?P<letter>[dpnsec%]))|\$\((?P<variable>[^)]*)\)")


@dataclass(frozen=True)
class Entry:
    """One line: 'key = value' with placeholders and environment variables filled in."""

    section: str
    key: str
    value: str
    line: int


def read(path: str, sections: tuple[str, ...] = ("ipcmules", "uwsgi")) -> list[Entry]:
    """The entries of the given sections, in the order of the file.

    Placeholders: %d (directory, with a slash at the end), %p (path), %s (file name), %n (file name without
    its extension), %e (extension), %c (name of the directory), %% and %(KEY) for a key that stands above;
    $(NAME) for environment variables.

    Raises ConfigError, naming file and line, for a file that cannot be read, a broken section header, a key
    outside a section, a line without a key, and a file that has none of the sections.
    """
    magic = _file_magic(path)
    defined: dict[str, str] = {}
    entries: list[Entry] = []
    section = None
    found = False
    for number, line in _lines(path):
        if line.startswith("["):
            section = _header(path, number, line)
            found = found or section in sections
            continue
        key, _, value = (part.strip() for part in line.partition("="))
        if not key:
            raise ConfigError(
                f"{path}, line {number}: {line!r} has no option before '=': write OPTION = VALUE"
            )
        if section is None:
            raise ConfigError(
                f"{path}, line {number}: {line!r} stands before any section: put [ipcmules] above it"
            )
        if section not in sections:
            continue
        value = _filled(value, magic, defined)
        _define(key, value, defined)
        entries.append(Entry(section, key, value, number))
    if not found:
        names = " nor ".join(f"[{name}]" for name in sections)
        raise ConfigError(f"{path} has neither {names}: add the section that holds the options")
    return entries


def _lines(path: str) -> Iterator[tuple[int, str]]:
    """Numbered lines, stripped, without blank ones and comments."""
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
            yield number, line


def _header(path: str, number: int, line: str) -> str:
    if not line.endswith("]"):
        raise ConfigError(f"{path}, line {number}: section {line!r} is not closed: write [NAME]")
    return line[1:-1].strip()


def _file_magic(path: str) -> dict[str, str]:
    full = os.path.abspath(path)
    directory, name = os.path.split(full)
    stem, dot, extension = name.rpartition(".")
    return {
        "d": directory.rstrip("/") + "/",
        "p": full,
        "s": name,
        "n": stem if dot else name,
        "e": extension if dot else "",
        "c": os.path.basename(directory),
        "%": "%",
    }


def _filled(value: str, magic: dict[str, str], defined: dict[str, str]) -> str:
    def replacement(match: re.Match[str]) -> str:
        if match["letter"]:
            return magic[match["letter"]]
        if match["name"] is not None:
            return defined.get(match["name"], match[0])
        return os.environ.get(match["variable"], match[0])

    return _MAGIC.sub(replacement, value)


def _define(key: str, value: str, defined: dict[str, str]) -> None:
    # The first value of a repeated key stays, as in uWSGI.
    if key in _DEFINING:
        name, equals, text = value.partition("=")
        if equals:
            defined.setdefault(name.strip(), text)
    defined.setdefault(key, value)
