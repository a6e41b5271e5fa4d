"""What uWSGI reads beside plain files where a configuration names one: exec://COMMAND.

From core/io.c, uwsgi_setup_schemes(). The others are parts of uWSGI's own binary or need a network, and are
refused by name.
"""

from __future__ import annotations

import re
import subprocess

from ipcmules.errors import ConfigError

_SCHEME = re.compile(r"(emperor|http|data|sym|section|fd|exec|call|callint)://(.*)\Z", re.DOTALL)

_REFUSED = {
    "http": "nothing is fetched over the network here: fetch it first, then name the file",
    "emperor": "there is no emperor here: name the file",
    "fd": "open descriptors are not read here: name a file (/dev/fd/N)",
}


def scheme(name: str) -> str:
    """The scheme of a name, '' for a file."""
    match = _SCHEME.match(name)
    return match[1] if match else ""


def content(name: str, what: str) -> str:
    """The text of a file, or what exec://COMMAND prints. Raises ConfigError that begins with `what`."""
    match = _SCHEME.match(name)
    if match is None:
        return _file(name, what)
    if match[1] != "exec":
        why = _REFUSED.get(match[1], "that is a part of uWSGI's own binary: write it into a file")
        raise ConfigError(f"{what}: {name!r}: {why}")
    done = subprocess.run(match[2], shell=True, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        # uWSGI takes what there is; a command that is not there must be easier to see.
        raise ConfigError(f"{what}: the command of {name!r} ended with {done.returncode}: correct it")
    return done.stdout.decode("utf-8", "surrogateescape")


def _file(name: str, what: str) -> str:
    try:
        # surrogateescape: a path in another encoding must come out as the bytes it is.
        with open(name, encoding="utf-8-sig", errors="surrogateescape", newline=None) as file:
            return file.read()
    except OSError as error:
        raise ConfigError(f"{what} {name!r} cannot be read: {error.strerror}; correct the path") from error
