"""The placeholders of uWSGI that are one letter: %d, %p, %n and the others, filled in as a file is read.

Knows the file being read, the user and the machine. From core/uwsgi.c, config_magic_table_fill().
"""

from __future__ import annotations

import os
import re
import time

_LETTER = re.compile(r"%(.)")


class Magic:
    """The placeholders of one file. Capitals mean the file that was read first."""

    def __init__(self, path: str, section: str = "", first: Magic | None = None) -> None:
        """path: the file, as it was given. section: the one asked for, '' for the usual ones.

        first: of the file that was read first, None for that itself.
        """
        self._path = path
        self._section = section
        self._first = first
        self._values: dict[str, str] | None = None

    def fill(self, text: str) -> str:
        """text with every %x replaced. One that means nothing is left out, as in uWSGI."""
        if "%" not in text:
            return text
        if self._values is None:
            first = self._first or self
            capitals = {key.upper(): value for key, value in _file(first._path, first._section).items()}
            self._values = {**capitals, **_file(self._path, self._section), **_machine()}
        return _LETTER.sub(lambda match: self._value(match[1]), text)

    def _value(self, letter: str) -> str:
        assert self._values is not None
        return self._values.get(letter, "")


def _file(path: str, section: str) -> dict[str, str]:
    full = os.path.abspath(path)
    directory, name = os.path.split(full)
    stem, dot, extension = name.rpartition(".")
    values = {
        "o": path,
        "p": full,
        "d": directory.rstrip("/") + "/",
        "s": name,
        "n": stem if dot else name,
        "e": extension if dot else "",
        "c": os.path.basename(directory),
        "x": section,
        "j": _hash(full),
        "i": _inode(full),
    }
    for number, part in enumerate(each for each in directory.split("/") if each):
        if number > 9:
            break
        values[str(number)] = part
    return values


def _hash(path: str) -> str:
    """djb33x_hash() of core/utils.c, its bytes in hex as they lie in memory."""
    value = 5381
    for byte in os.fsencode(path):
        value = (((value << 5) + value) ^ byte) & 0xFFFFFFFF
    return value.to_bytes(4, "little").hex().upper()


def _inode(path: str) -> str:
    try:
        return str(os.lstat(path).st_ino)
    except OSError:
        return ""


def _machine() -> dict[str, str]:
    import grp
    import pwd
    import socket

    now = time.time()
    user, group = os.getuid(), os.getgid()
    return {
        "%": "%",
        "(": "%(",  # a reference, filled in when everything is read
        "[": "\x1b",
        "v": os.getcwd(),
        "V": "2.0.31",
        "h": socket.gethostname(),
        "k": str(os.cpu_count() or 1),
        "t": str(int(now)),
        "T": str(int(now * 1e6)),
        "u": str(user),
        "U": _name(lambda: pwd.getpwuid(user).pw_name, user),
        "g": str(group),
        "G": _name(lambda: grp.getgrgid(group).gr_name, group),
    }


def _name(look: object, number: int) -> str:
    assert callable(look)
    try:
        return str(look())
    except KeyError:
        return str(number)
