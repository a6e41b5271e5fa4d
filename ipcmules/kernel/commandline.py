"""A daemon's command line: what is run for the text of --attach-daemon, and whether it can be."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys

from ipcmules.errors import ConfigError

SHELL = "/bin/sh"
#: What a shell makes something of, outside quotes or inside.
_SHELL = re.compile(r"[|&;<>()$`*?\[\]#~!{}\n]")


def add_own_programs() -> None:
    """PATH gets the directory of this Python, after all it has: a virtual environment's programs are found
    that was not activated.
    """
    own = os.path.dirname(sys.executable)
    paths = os.environ.get("PATH", os.defpath).split(os.pathsep)
    if own and own not in paths:
        os.environ["PATH"] = os.pathsep.join([*paths, own])


def split(text: str) -> tuple[str, ...]:
    """A daemon's arguments: split as a shell does, or run by a shell where it has characters only that knows.

    Raises ValueError for an unclosed quote.
    """
    words = shlex.split(text)
    if _SHELL.search(text) or (words and "=" in words[0]):
        return (SHELL, "-c", text)
    return tuple(words)


def check(text: str, directory: str, after: str = "attach-daemon") -> None:
    """Raise ConfigError if a daemon's command line cannot be split, or names a program that is not there.

    after: where it was given.
    """
    try:
        words = split(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no command ({error}): close the quote, or escape it") from error
    if not words or not words[0] or "\0" in text:
        raise ConfigError(f"{text!r} is no command: give one")
    if words[0] != SHELL:
        check_program(words[0], directory, after)


def check_program(name: str, directory: str, after: str) -> None:
    """Raise ConfigError unless a program can be run from a directory. after: what it stands after."""
    path = os.path.join(directory, name) if "/" in name else name
    if not name or shutil.which(path) is None:
        raise ConfigError(
            f"command {name!r} is not an executable program on PATH: install it, or correct what stands "
            f"after {after}"
        )
