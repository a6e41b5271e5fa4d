"""An attached process that sends, raises and locks, and attaches again whenever the bus has gone.

    python -m chaos.sender ID BUS MESSAGES SIGNALS SECTIONS SECONDS SEED

Spreads its work over SECONDS, in bursts. What it was doing when it is killed is in sent.ID.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable

import ipcmules
from chaos import interruption, records, section
from ipcmules.kernel import exhaustion

_AWAY = (ipcmules.BusStopped, ipcmules.NotAttached)
#: Between two tries of what the system refused, seconds.
_REFUSED = 0.05
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
            word = self._try("t", "ari", f"{route} {number}", lambda n=number: self._message(route, n))
            if word == "a":
                return
            self._attach()

    def _message(self, route: str, number: int) -> bool:
        return ipcmules.mule_msg(records.body(self._name, route, number), records.ROUTES[route], _TIMEOUT)

    def _raise(self) -> None:
        number = self._random.choice(list(records.SIGNALS))
        while self._try("T", "ARI", str(number), lambda: ipcmules.signal(number)) != "A":
            self._attach()

    def _try(self, begun: str, ended: str, what: str, call: Callable[[], object]) -> str:
        """Make a call between two records. Returns the second: one of accepted, refused, interrupted."""
        kind = "send" if begun == "t" else "signal"
        accepted, refused, interrupted = ended
        records.write(self._file, f"{begun} {what}")
        try:
            word = (
                refused
                if interruption.call("send" if begun == "t" else "signal", call) is False
                else accepted
            )
        except _AWAY:
            word = refused
        except interruption.Interrupted:
            word = interrupted
        except OSError as error:
            self._refused(kind, error)
            word = refused
        records.write(self._file, f"{word} {what}")
        return word

    def _refused(self, what: str, error: OSError) -> None:
        """In words (LimitError), or, where there is no descriptor to import a module with, in Python's."""
        if not exhaustion.refused(error):
            raise error
        records.write("refused", f"{what} {error}")
        time.sleep(_REFUSED)

    def _lock(self) -> None:
        while not section.enter(self._random.randrange(records.LOCKS)):
            self._attach()
        records.write(self._file, "L")

    def _attach(self) -> None:
        """Wait for the bus; attach anew where the one this process was on has ended."""
        while True:
            try:
                if self._attached is None:
                    self._attached = interruption.call("attach", lambda: ipcmules.attach(self._bus))
                if not ipcmules.member.membership.current().ended():
                    return
                self._leave()
            except _AWAY:
                self._attached = None
            except interruption.Interrupted:
                continue
            except OSError as error:
                self._refused("attach", error)
            time.sleep(0.02)

    def _leave(self) -> None:
        if self._attached is not None:
            self._attached.detach()
            self._attached = None


def main() -> None:
    """The command line above."""
    name, bus, messages, signals, sections, seconds, seed = sys.argv[1:]
    records.open_all()
    records.write(f"sent.{name}", "")
    work = ["message"] * int(messages) + ["signal"] * int(signals) + ["section"] * int(sections)
    Sender(name, bus, seed).run(work, float(seconds))


if __name__ == "__main__":
    main()
