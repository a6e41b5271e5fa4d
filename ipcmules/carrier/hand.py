"""What the carrier has taken from the cluster, in a file of the bus's directory: its successor goes on with
it.

A delivery is *arriving* while it is put into a queue of this bus, then *here* until it is done or handed
back, then *done* until the cluster has confirmed that. Of a bus of another generation nothing is here any
more. The file is a journal, a line a step, for a file that is replaced each time costs milliseconds on a
disk; it is written anew when it has grown. Specified in docs/formats-cluster.md. Knows files.
"""

from __future__ import annotations

import json
import os
from typing import NamedTuple

from ipcmules.bus.places import Places
from ipcmules.cluster import outbox
from ipcmules.kernel import files

ARRIVING, HERE, DONE = "arriving", "here", "done"
_GONE = ""
#: Lines after which the file is written anew.
_LINES = 2000


class Delivery(NamedTuple):
    """farm: its name. place: the message's (engine.Taken). how: how far it is."""

    farm: str
    place: str
    how: str


class Hand:
    """Deliveries by token."""

    def __init__(self, where: Places, generation: int) -> None:
        self.deliveries: dict[str, Delivery] = {}
        self._where = where
        self._generation = generation
        self._path = os.path.join(where.runtime, "carrier.hand")
        self._file = -1
        self._lines = 0

    def read(self) -> dict[str, Delivery]:
        """What a predecessor had, which is this one's from now on. Of another bus than this one all that is
        not done counts as arriving.
        """
        found: dict[str, Delivery] = {}
        same = False
        try:
            with open(self._path, encoding="utf-8") as file:
                lines = file.read().split("\n")
            same = json.loads(lines[0]) == self._generation
            for line in lines[1:-1]:  # who is killed leaves the last one cut off
                token, *values = json.loads(line)
                found[token] = Delivery(*values)
                if found[token].how == _GONE:
                    del found[token]
        except (OSError, ValueError, TypeError):
            pass
        self.deliveries = {
            token: each if same or each.how == DONE else each._replace(how=ARRIVING)
            for token, each in found.items()
        }
        self._begin()
        return dict(self.deliveries)

    def note(self, token: str, delivery: Delivery) -> None:
        """A delivery is so far now."""
        self.deliveries[token] = delivery
        self._write(token, delivery)

    def forget(self, token: str) -> None:
        """Nothing is to be done about a delivery any more."""
        delivery = self.deliveries.pop(token, None)
        if delivery is not None:
            self._write(token, delivery._replace(how=_GONE))

    def leave(self) -> None:
        """This process and its bus end: what the cluster has not confirmed is left to the outbox."""
        for token, delivery in self.deliveries.items():
            if delivery.how == DONE:
                outbox.done(self._where, token)

    def _write(self, token: str, delivery: Delivery) -> None:
        self._lines += 1
        if self._lines > _LINES:
            self._begin()
        else:
            os.write(self._file, _line(token, delivery))

    def _begin(self) -> None:
        """Write the file anew, with what there is."""
        content = [b"%d\n" % self._generation]
        content += [_line(token, each) for token, each in self.deliveries.items()]
        files.replace(self._path, b"".join(content))
        if self._file >= 0:
            os.close(self._file)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._lines = 0


def _line(token: str, delivery: Delivery) -> bytes:
    return json.dumps([token, *delivery]).encode() + b"\n"
