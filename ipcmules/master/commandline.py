"""A daemon's command line: what is run for the text of --attach-daemon. Values only."""

from __future__ import annotations

import re
import shlex

SHELL = "/bin/sh"
#: What a shell makes something of, outside quotes or inside.
_SHELL = re.compile(r"[|&;<>()$`*?\[\]#~!{}\n]")


def split(text: str) -> tuple[str, ...]:
    """A daemon's arguments: split as a shell does, or run by a shell where it has characters only that knows.

    Raises ValueError for an unclosed quote.
    """
    words = shlex.split(text)
    if _SHELL.search(text) or (words and "=" in words[0]):
        return (SHELL, "-c", text)
    return tuple(words)
