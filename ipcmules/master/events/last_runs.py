"""When crons fired last: a minute is never fired twice, whatever happens to the clock or the master
meanwhile.

Kept for a named bus as STATE/BUS/crons-DIGEST.json (docs/formats.md) for a day; of an unnamed one only in
memory.
"""

from __future__ import annotations

import json
import os

from ipcmules.bus import log
from ipcmules.bus.places import Places, private_state
from ipcmules.kernel import files

_DAY = 86400.0


class Fired:
    """The last minutes, by identity."""

    def __init__(self, where: Places, kept: bool) -> None:
        self._where = where
        self._kept = kept
        self._path = where.crons
        self._last: dict[str, float] = {}
        #: Those that are of interest to another master, and whether there are new ones.
        self._lasting: dict[str, float] = self._read() if kept else {}
        self._changed = False
        self._last.update(self._lasting)

    def last(self, digest: str) -> float:
        """The minute that was fired last, in seconds since the epoch; 0: none that is known."""
        return self._last.get(digest, 0.0)

    def note(self, digest: str, minute: float, keep: bool) -> None:
        """It fires now. keep: whether a later master can have the same event."""
        self._last[digest] = minute
        if keep and self._kept:
            self._lasting[digest] = minute
            self._changed = True

    def save(self) -> None:
        """Write what is new. What cannot be written is logged."""
        if not self._changed:
            return
        self._changed = False
        newest = max(self._lasting.values())
        self._lasting = {name: minute for name, minute in self._lasting.items() if minute > newest - _DAY}
        try:
            private_state(self._where)
            files.replace(self._path, json.dumps(self._lasting).encode())
        except OSError as error:
            log.event("error", f"{self._path} cannot be written: {error}")

    def _read(self) -> dict[str, float]:
        older = self._where.older(self._path)
        path = self._path if os.path.lexists(self._path) else older
        try:
            with open(path, encoding="utf-8") as file:
                found = json.load(file)
            return {str(name): float(minute) for name, minute in found.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.event("error", f"{path} cannot be read: {error}")
            return {}
