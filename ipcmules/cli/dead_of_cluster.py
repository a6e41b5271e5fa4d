"""Dead letters of the cluster, for `ipcmules dead`: the same on every host. Their IDs begin with 'cluster-'.

Knows the carrier's answers, and dead letters as `ipcmules dead` has them.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from ipcmules.bus.places import Places
from ipcmules.cli import cluster
from ipcmules.cluster import outbox
from ipcmules.errors import ConfigError
from ipcmules.kernel.printable import for_people
from ipcmules.messages.kept import Kept

#: In place of a directory.
_HOME = "cluster:/"
_NAME = f"{_HOME}cluster-"
#: As many are listed.
_MOST = 1000


def is_one(path: str) -> bool:
    """True if a dead letter's path says that it is the cluster's."""
    return path.startswith(_HOME)


def headers(where: Places) -> list[Kept]:
    """The cluster's dead letters, oldest first; none, with a word on stderr, where it cannot be asked."""
    if not cluster.has_cluster(where):
        return []
    try:
        found, _ = cluster.ask(where, {"do": "dead", "most": _MOST})
        if found["said"] != "dead":
            raise ConfigError(found["why"])
    except ConfigError as error:
        print(
            f"ipcmules: the cluster's dead letters are not shown: {for_people(str(error))}", file=sys.stderr
        )
        return []
    return [_kept(each) for each in found["letters"]]


def _kept(letter: dict[str, Any]) -> Kept:
    return Kept(
        path=f"{_NAME}{letter['id']}.msg",
        endpoint=outbox.endpoint(letter["farm"]),
        reason=letter["reason"],
        process="",
        time=letter["time"],
        data=b"",
        length=letter["length"],
        attempts=letter["deliveries"],
    )


def load(where: Places, path: str) -> Kept | None:
    """A dead letter with its message; None if it is none of the cluster's."""
    if not is_one(path):
        return None
    header = next((each for each in headers(where) if each.path == path), None)
    found, data = cluster.ask(where, {"do": "letter", "id": _number(path)})
    if header is None or found["said"] != "letter":
        raise ConfigError(found.get("why", f"{path} is gone"))
    return replace(header, data=data)


def take(where: Places, path: str, to: str | None, send: bool) -> None:
    """Send one again, or only remove it. Raises ConfigError. to: not None where it was to go elsewhere."""
    if to is not None:
        raise ConfigError("a dead letter of the cluster goes back to its farm or mule: leave --to out")
    found, _ = cluster.ask(where, {"do": "requeue" if send else "drop", "id": _number(path)})
    if found["said"] not in ("requeued", "dropped"):
        raise ConfigError(found["why"])


def _number(path: str) -> int:
    return int(path.removeprefix(_NAME).removesuffix(".msg"))
