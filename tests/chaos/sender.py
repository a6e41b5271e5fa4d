"""An attached process that sends, raises and locks, and attaches again whenever the bus has gone.

    python -m chaos.sender ID BUS MESSAGES SIGNALS SECTIONS SECONDS SEED

Spreads its work over SECONDS, in bursts. What it was doing when it is killed is in sent.ID.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter

import ipcmules
from chaos import records, section

_AWAY = (ipcmules.BusStopped, ipcmules.NotAttached)
#: Longest pause between two bursts of work, seconds: so long that queues and buffers fill in the next one.
_PAUSE = 0.6
_TIMEOUT = 5.0


class Sender:
    """One incarnation of a sender."""

    def __init__(self, name: str, bus: str, seed: str) -> None:
        self._file = f"sent.{name}"
        self._name = name
        self._bus = bus
        self._random = random.Random(seed)
        self._numbers: Counter[str] = Counter()
        self._attached: ipcmules.Attachment | None = None

    def run(self, work: list[str], seconds: float) -> None:
        """Do all of the work, spread over the time, in bursts."""
        self._random.shuffle(work)
        began = time.monotonic()
        total, done = len(work), 0
        while done < total:
            self._attach()
            share = min(1.0, (time.monotonic() - began + _PAUSE) / seconds) if seconds else 1.0
            while done < share * total:
                self._do(work[done])
                done += 1
            time.sleep(self._random.uniform(0, _PAUSE))
        self._leave()

    def _do(self, what: str) -> None:
        if what == "message":
            self._send()
        elif what == "signal":
            self._raise()
        else:
            self._lock()

    def _send(self) -> None:
        route = self._random.choice(list(records.ROUTES))
        while True:
            number = self._numbers[route]
            self._numbers[route] += 1
            records.write(self._file, f"t {route} {number}")
            try:
                taken = ipcmules.mule_msg(
                    records.body(self._name, route, number), records.ROUTES[route], _TIMEOUT
                )
            except _AWAY:
                taken = False
            records.write(self._file, f"{'a' if taken else 'r'} {route} {number}")
            if taken:
                return
            self._attach()

    def _raise(self) -> None:
        number = self._random.choice(list(records.SIGNALS))
        while True:
            records.write(self._file, f"T {number}")
            try:
                ipcmules.signal(number)
            except _AWAY:
                records.write(self._file, f"R {number}")
                self._attach()
            else:
                records.write(self._file, f"A {number}")
                return

    def _lock(self) -> None:
        while not section.enter(self._random.randrange(records.LOCKS)):
            self._attach()
        records.write(self._file, "L")

    def _attach(self) -> None:
        """Wait for the bus; attach anew where the one this process was on has ended."""
        while True:
            try:
                if self._attached is None:
                    self._attached = ipcmules.attach(self._bus)
                if not ipcmules.membership.current().ended():
                    return
                self._leave()
            except _AWAY:
                self._attached = None
            time.sleep(0.02)

    def _leave(self) -> None:
        if self._attached is not None:
            self._attached.detach()
            self._attached = None


def main() -> None:
    """The command line above."""
    name, bus, messages, signals, sections, seconds, seed = sys.argv[1:]
    work = ["message"] * int(messages) + ["signal"] * int(signals) + ["section"] * int(sections)
    Sender(name, bus, seed).run(work, float(seconds))


if __name__ == "__main__":
    main()
