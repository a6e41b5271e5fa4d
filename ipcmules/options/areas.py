"""The texts of --sharedarea, and what they describe."""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass

from ipcmules.errors import ConfigError
from ipcmules.options import keyvals

_PAGE = mmap.PAGESIZE
#: Bytes of the largest area.
_LARGEST = 1 << 46
_KNOWN = ("pages", "size", "file", "offset")
_EXAMPLE = "--sharedarea 4, or --sharedarea file=FILE,size=BYTES"


@dataclass(frozen=True)
class AreaSpec:
    """An area: so many bytes, in shared memory or of a file from an offset on. It travels as JSON.

    python: it was asked for with --py-sharedarea, whose numbers come behind the others'.
    """

    size: int
    file: str = ""
    offset: int = 0
    python: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.size <= _LARGEST:
            raise ConfigError(f"a shared area of {self.size} bytes cannot be: give it pages, {_EXAMPLE}")
        if self.offset < 0 or self.offset % _PAGE:
            raise ConfigError(f"offset={self.offset} of a shared area: give a multiple of {_PAGE}")


def sharedarea(text: str) -> AreaSpec:
    """An AreaSpec from --sharedarea's value: a number of pages, or 'pages=N' or 'size=BYTES,file=FILE'."""
    if "=" not in text:
        return AreaSpec(_number(text, text) * _PAGE)
    values: dict[str, str] = {}
    for key, value in keyvals.pairs(text, "size=65536"):
        if key in ("fd", "ptr"):
            raise ConfigError(f"{key} in {text!r}: it would be this process's alone: name a file=")
        if key not in _KNOWN:
            raise ConfigError(f"{key!r} in {text!r} is not known: a shared area has {', '.join(_KNOWN)}")
        values[key] = value
    size = _number(values.get("size", "0"), text)
    pages = _number(values.get("pages", "0"), text)
    file = values.get("file", "")
    if file:
        return AreaSpec(size or pages * _PAGE, file, _number(values.get("offset", "0"), text))
    # In whole pages, of which pages= says how many where both are there: uWSGI's (core/sharedarea.c).
    return AreaSpec(pages * _PAGE or -(-size // _PAGE) * _PAGE)


def py_sharedarea(text: str) -> AreaSpec:
    """An AreaSpec from --py-sharedarea's value: bytes."""
    return AreaSpec(_number(text, text), python=True)


def _number(word: str, text: str) -> int:
    if re.fullmatch(r"0x[0-9a-fA-F]{1,12}", word):
        return int(word, 16)
    if not word.isascii() or not word.isdigit() or len(word) > 15:
        raise ConfigError(f"{word!r} in {text!r} is not a whole number: give one, such as {_EXAMPLE}")
    return int(word)
