"""uWSGI's conditions and loops in a configuration: if-env, for-glob and the others, until their end.

One holds at a time; each option in it is given to it, and comes out never, once or several times, with %(_)
filled in. The rules are those of uWSGI 2.0.31 (core/config.c). Knows the machine, the environment and the
options so far; nothing of files.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Sequence

from ipcmules.errors import ConfigError

_ENDS = ("end", "endfor", "end-for", "endif", "end-if")

#: Plugins that uWSGI from PyPI has built in, and their other names.
_PLUGINS = frozenset(
    {
        *("python", "python3", "gevent", "ugreen", "rpc", "signal", "symcall", "ping", "cache"),
        *("http", "corerouter", "fastrouter", "rawrouter", "sslrouter", "zergpool", "cheaper_busyness"),
        *("syslog", "rsyslog", "logfile", "logsocket", "carbon", "nagios", "rrdtool"),
    }
)

Options = Sequence[tuple[str, str]]


class Logic:
    """The state while one file is read."""

    def __init__(self, reload: bool = False) -> None:
        self._reload = reload
        self._values: Callable[[], list[str | None]] | None = None
        #: What began the block, as it is written; '' outside one.
        self.block = ""

    def begin(self, key: str, value: str, options: Options, where: str) -> None:
        """Begin a block. options: those so far, for if-opt. Raises ConfigError inside another."""
        if self._values is not None:
            raise ConfigError(
                f"{where}: {key} stands inside {self.block!r}, and uWSGI has no blocks in blocks: "
                "end the first one before it (end-if, end-for)"
            )
        self.block = f"{key} = {value}" if value else key
        self._values = _BLOCKS[key](value, options, self._reload)

    def end(self) -> None:
        """End the block, if there is one."""
        self._values = None
        self.block = ""

    def apply(self, value: str) -> list[str]:
        """What becomes of an option's value: itself outside a block."""
        if self._values is None:
            return [value]
        return [value if each is None else value.replace("%(_)", each) for each in self._values()]


def begins(key: str) -> bool:
    """True for an option that begins a condition or loop."""
    return key in _BLOCKS


def ends(key: str) -> bool:
    """True for one that ends it."""
    return key in _ENDS


Values = Callable[[], list["str | None"]]


def _when(test: Callable[[str], bool], holds: bool = True) -> Callable[[str, Options, bool], Values]:
    def block(value: str, _options: Options, _reload: bool) -> Values:
        # Asked for each option, as there.
        return lambda: [value] if test(value) is holds else []

    return block


def _named(
    look: Callable[[str, Options], str | None], holds: bool = True
) -> Callable[[str, Options, bool], Values]:
    """if-env and if-opt: NAME, or NAME=VALUE."""

    def block(text: str, options: Options, _reload: bool) -> Values:
        name, equals, wanted = text.partition("=")

        def values() -> list[str | None]:
            found = look(name, options)
            same = found is not None and (not equals or found == wanted)
            return [found] if same is holds else []  # None: %(_) stays as it is, as there

        return values

    return block


def _reloading(holds: bool) -> Callable[[str, Options, bool], Values]:
    return lambda _value, _options, reload: lambda: [None] if reload is holds else []


def _environment(name: str, _options: Options) -> str | None:
    return os.environ.get(name)


def _option(name: str, options: Options) -> str | None:
    return next((value for key, value in options if key == name), None)


def _is_directory(path: str) -> bool:
    return os.path.isdir(path)


def _has_name(pattern: str) -> bool:
    try:
        return re.search(pattern, socket.gethostname()) is not None
    except re.error as error:
        raise ConfigError(f"{pattern!r} is no regular expression: {error}; correct it") from error


def _words(value: str, _options: Options, _reload: bool) -> Values:
    return lambda: [each for each in value.split(" ") if each]


def _times(value: str, _options: Options, _reload: bool) -> Values:
    match = re.match(r"\s*\d+", value)
    return lambda: [str(number) for number in range(1, int(match[0]) + 1)] if match else []


def _matching(value: str, _options: Options, _reload: bool) -> Values:
    import glob

    def values() -> list[str | None]:
        found = sorted(glob.glob(value))
        return [f"{each}/" if os.path.isdir(each) and each[-1:] != "/" else each for each in found] or [value]

    return values


def _lines(value: str, _options: Options, _reload: bool) -> Values:
    def values() -> list[str | None]:
        try:
            with open(value, encoding="utf-8", errors="surrogateescape") as file:
                return [line.rstrip("\r\n") for line in file]
        except OSError:
            return []  # logged there, and none

    return values


def _has_plugin(name: str) -> bool:
    return name in _PLUGINS


def _is_host(name: str) -> bool:
    return name == socket.gethostname()


_BLOCKS: dict[str, Callable[[str, Options, bool], Values]] = {
    "for": _words,
    "for-glob": _matching,
    "for-times": _times,
    "for-readline": _lines,
    "if-reload": _reloading(True),
    "if-not-reload": _reloading(False),
}
for _name, _test in (
    ("exists", os.path.exists),
    ("file", os.path.isfile),
    ("dir", _is_directory),
    ("plugin", _has_plugin),
    ("hostname", _is_host),
    ("hostname-match", _has_name),
):
    _BLOCKS[f"if-{_name}"], _BLOCKS[f"if-not-{_name}"] = _when(_test), _when(_test, False)
for _name, _look in (("env", _environment), ("opt", _option)):
    _BLOCKS[f"if-{_name}"], _BLOCKS[f"if-not-{_name}"] = _named(_look), _named(_look, False)
# uWSGI's other names for some of them.
_BLOCKS |= {
    "ifenv": _BLOCKS["if-env"],
    "ifexists": _BLOCKS["if-exists"],
    "ifplugin": _BLOCKS["if-plugin"],
    "ifdir": _BLOCKS["if-dir"],
    "if-directory": _BLOCKS["if-dir"],
}
