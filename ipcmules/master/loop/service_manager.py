"""What a service manager (systemd) hears of a bus: that it is ready, reloads, stops, and lives.

Each word is said once, in order, and the master never waits for the manager: what it does not take now is
sent a moment later. Without a manager all of this does nothing.
"""

from __future__ import annotations

from typing import Any

from ipcmules.bus import log
from ipcmules.kernel import supervision
from ipcmules.kernel.supervision import Notifier, more_time, status
from ipcmules.master.loop.selector import Loop

#: When a word that the manager did not take is sent again, seconds.
_AGAIN = 0.1
#: So many words wait at most. The oldest goes then: the manager has not read for a long time.
_MOST = 64
#: While a reload goes on it asks so often for so much more time: each of its steps has a deadline of its own.
#: Seconds.
_ASK, _MORE = 10.0, 30.0
#: What a stop or a start may take besides the mercy, seconds: killed processes end, what is left is saved.
MARGIN = 30.0


class ServiceManager:
    """It, for one bus. notifier: None where there is no service manager."""

    def __init__(self, loop: Loop, notifier: Notifier | None) -> None:
        self._loop = loop
        self._notifier = notifier
        self._waiting: list[str] = []
        self._said_why = self._reloading = False
        if notifier is not None and notifier.watchdog > 0:
            self._live()

    def ready(self, report: dict[str, Any]) -> None:
        """The bus is ready. report: as the launcher gets it."""
        counts = ((report[each], each) for each in ("mules", "workers", "spoolers"))
        text = ", ".join(
            f"{number} {each if number != 1 else each[:-1]}" for number, each in counts if number
        )
        self._say("READY=1", status(f"ready: {text or 'no processes'}"))

    def reloading(self) -> None:
        """A reload has begun."""
        self._reloading = True
        self._say("RELOADING=1", supervision.now(), status("reloading"))
        self._ask_for_time()

    def reloaded(self, problem: str) -> None:
        """A reload is over. problem: why it failed, '' if it did not."""
        self._reloading = False
        # The protocol has no word for a reload that failed: the bus is ready, with its old code.
        self._say("READY=1", status(f"reload failed: {problem}" if problem else "ready: reloaded"))

    def stopping(self, mercy: float, problem: str = "") -> None:
        """The bus ends, within about mercy seconds. problem: what failed, '' if it was told to."""
        self._reloading = False
        self._say("STOPPING=1", more_time(mercy + MARGIN), status(problem or "stopping"))

    def saving(self) -> None:
        """All processes are gone; what they left is being saved."""
        self._say(more_time(MARGIN), status("saving what is left"))

    def starting(self, mercy: float) -> None:
        """Processes of a bus that ended are waited for, and what it left is taken over."""
        self._say(more_time(mercy + MARGIN), status("starting"))

    def _ask_for_time(self) -> None:
        if self._reloading and self._notifier is not None:
            self._say(more_time(_MORE))
            self._loop.later(_ASK, self._ask_for_time)

    def _live(self) -> None:
        """The sign of life, from the loop: a master that hangs gives none.

        At half of the time, as sd_watchdog_enabled(3) advises, and no sooner: an idle master sleeps.
        """
        assert self._notifier is not None
        self._loop.later(self._notifier.watchdog / 2, self._live)
        if not self._waiting:
            self._say("WATCHDOG=1")

    def _say(self, *lines: str) -> None:
        if self._notifier is None:
            return
        idle = not self._waiting
        self._waiting = [*self._waiting, "\n".join(lines)][-_MOST:]
        if idle:
            self._send()

    def _send(self) -> None:
        assert self._notifier is not None
        try:
            while self._waiting:
                if not self._notifier.send(self._waiting[0]):
                    self._loop.later(_AGAIN, self._send)
                    return
                del self._waiting[0]
        except OSError as error:
            self._waiting.clear()
            if self._said_why:
                return
            self._said_why = True
            log.event(
                "warning",
                f"the service manager cannot be told how the bus is: NOTIFY_SOCKET={self._notifier.address}: "
                f"{error.strerror or error}; correct the variable, or unset it where there is no manager",
            )
