"""The master's side of the template: start it, ask it for processes, hear what it says.

The protocol is in ipcmules/process/template/main.py. Knows the loop and spawning; what follows from an answer
is the supervisor's.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from functools import partial
from typing import Any, Protocol

from ipcmules.bus import log
from ipcmules.kernel import kill
from ipcmules.kernel.processes import describe, is_stopped
from ipcmules.kernel.spawn import own_code, spawn
from ipcmules.master.loop.selector import Loop, Timer

#: How often a template is looked at that has something to do, seconds; and never otherwise.
_LOOK = 1.0
#: One that was asked for processes and says nothing for so long is replaced, seconds. Forking one takes
#: milliseconds, seconds where the app has very many pages.
_PATIENCE = 15.0


class Listener(Protocol):
    """Who wants to know."""

    def template_loaded(self) -> None:
        """The app is loaded: processes can be asked for."""

    def template_failed(self, text: str) -> None:
        """The app could not be loaded; text is the traceback."""

    def forked(self, role: str, number: int, pid: int) -> None:
        """A process was forked; it is the master's child."""

    def refused(self, role: str, number: int, reason: str) -> None:
        """The kernel refused to fork it."""


class Template:
    """One template process. After its end make another."""

    def __init__(self, loop: Loop, listener: Listener, code: int = 1, trial: bool = False) -> None:
        """Start one. code: the generation of the code it will load. trial: it must try the programs too.

        Raises OSError where there is no process or descriptor for it.
        """
        self._loop = loop
        self.listener = listener
        self.code = code
        self._buffer = b""
        self.loaded = False
        #: True once it was killed for not answering.
        self.given_up = False
        self._unanswered = 0
        self._heard_at = time.monotonic()
        self._was_stopped = False
        self._socket, theirs = socket.socketpair()
        with theirs:
            command = own_code(
                "ipcmules.process.template.main", theirs.fileno(), os.getpid(), code, int(trial)
            )
            try:
                self.pid = spawn(command, ".", keep=theirs.fileno())
            except OSError:
                self._socket.close()
                raise
        self._socket.setblocking(False)
        loop.watch(self._socket.fileno(), self._readable)
        self._unsent = b""
        self._timer: Timer | None = loop.later(_LOOK, self._look)

    def fork(self, processes: list[tuple[str, int]]) -> None:
        """Ask for processes, by role and number. Only once it has loaded the app."""
        self._unanswered += len(processes)
        self._heard_at = time.monotonic()
        if self._timer is None:
            self._timer = self._loop.later(_LOOK, self._look)
        self._unsent += json.dumps({"fork": processes}).encode() + b"\n"
        self._send()

    def finish(self) -> None:
        """Ask for nothing more: it finishes what it was asked for and ends. Loading, it is stopped."""
        if not self.loaded:
            kill.send_to_child(self.pid, signal.SIGTERM)
        elif self._socket.fileno() >= 0:
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Hang up: the template ends. What it said before is heard first."""
        if self._socket.fileno() >= 0:
            # From here on nothing can be said to us (EPIPE), and what was said can still be read.
            self._socket.shutdown(socket.SHUT_RD)
            self._readable()
        self._hang_up()

    def _look(self) -> None:
        """Is it stopped, or silent? Then nobody would ever be forked: it is killed and so replaced."""
        self._timer = None
        if self._socket.fileno() < 0 or self.given_up or not (self._unanswered or not self.loaded):
            return
        stopped = is_stopped(self.pid)
        quiet = time.monotonic() - self._heard_at
        # Twice in a row: after a Ctrl-Z of the whole job it may be continued a moment later than we are.
        if (stopped and self._was_stopped) or (self.loaded and quiet > _PATIENCE):
            self.given_up = True
            does = describe(self.pid)
            log.event("error", f"the template does not answer for {quiet:.0f} s ({does}): it is replaced")
            kill.send_to_child(self.pid, signal.SIGKILL)
            return
        self._was_stopped = stopped
        self._timer = self._loop.later(_LOOK, self._look)

    def _hang_up(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket.fileno() >= 0:
            self._loop.forget(self._socket.fileno())
            self._socket.close()

    def _send(self) -> None:
        # A request is some kilobytes at most, the socket's buffer 200: it fits unless the template is stuck.
        if self._socket.fileno() < 0:
            return
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent = b""  # it has ended: its death is noticed by waitpid
        if self._unsent:
            self._loop.later(0.05, self._send)

    def _readable(self) -> None:
        while True:
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._hang_up()
                return
            self._buffer += data
            *lines, self._buffer = self._buffer.split(b"\n")
            for line in lines:
                self._loop.attempt(partial(self._heard, json.loads(line)))
                if self._socket.fileno() < 0:
                    return

    def _heard(self, message: dict[str, Any]) -> None:
        self._heard_at = time.monotonic()
        if "forked" in message or "refused" in message:
            self._unanswered -= 1
            if self._unanswered <= 0 and self._timer is not None:  # it owes nothing: sleep
                self._timer.cancel()
                self._timer = None
        if "forked" in message:
            self.listener.forked(*message["forked"])
        elif "refused" in message:
            self.listener.refused(*message["refused"])
        elif "failed" in message:
            self.listener.template_failed(message["failed"])
        elif "loaded" in message:
            self.loaded = True
            self.listener.template_loaded()
