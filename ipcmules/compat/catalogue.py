"""What becomes of each option of uWSGI 2.0.31: the table uwsgi-options.txt, read when somebody asks.

For `ipcmules run`, which names what will be missing, and for `ipcmules migrate`, which explains each.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

#: What ipcmules does, what the web server does, what nobody needs, what is not done.
DONE, SERVER, NOTHING, MISSING = "done", "server", "nothing", "missing"
SERVERS = ("gunicorn", "granian", "uvicorn")

_FILE = Path(__file__).with_name("uwsgi-options.txt")
#: One-letter names that configurations have, though uWSGI knows them on its command line alone.
_SHORT = {"s": "socket", "p": "processes"}


class Known(NamedTuple):
    """An option of uWSGI's. text: why nobody needs it, or what will be missing; of a web server's options
    one for each of SERVERS."""

    kind: str
    text: str

    def for_server(self, server: str) -> str:
        """What the server has in its place."""
        return self.text.split(" | ")[SERVERS.index(server)]


def look(name: str) -> Known | None:
    """What becomes of an option; None if uWSGI has none of that name."""
    return table().get(_SHORT.get(name, name))


@functools.cache
def table() -> dict[str, Known]:
    """All options by name."""
    found: dict[str, Known] = {}
    known = Known(DONE, "")
    for line in _FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            kind, _, text = line[1:].partition("]")
            known = Known(kind, text.strip())
        elif not line.startswith("#"):
            found |= dict.fromkeys(line.split(), known)
    return found
