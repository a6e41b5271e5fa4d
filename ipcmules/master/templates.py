"""The master's side of the template: start it, ask it for processes, hear what it says.

The protocol is in ipcmules/mule/template.py. Knows the loop and spawning; what follows from an answer
is the supervisor's.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from typing import Any, Protocol

from ipcmules.master.loop import Loop
from ipcmules.master.spawn import spawn
from ipcmules.places import PACKAGE

#: The interpreter adds the current directory (as '') or nothing; mule/apps.py sets the app's path.
_BOOT = """\
import sys
root = sys.argv[1]
sys.path[:] = [path for path in sys.path if path]
if root not in sys.path:
    sys.path.append(root)
from ipcmules.mule.template import main
main(*map(int, sys.argv[2:]))
"""


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
        """Start one. code: the generation of the code it will load. trial: it must try the programs too."""
        self._loop = loop
        self.listener = listener
        self.code = code
        self._buffer = b""
        self.loaded = False
        self._socket, theirs = socket.socketpair()
        with theirs:
            root = os.path.dirname(PACKAGE)
            numbers = map(str, (theirs.fileno(), os.getpid(), code, int(trial)))
            self.pid = spawn([sys.executable, "-c", _BOOT, root, *numbers], ".", keep=theirs.fileno())
        self._socket.setblocking(False)
        loop.watch(self._socket.fileno(), self._readable)
        self._unsent = b""

    def fork(self, processes: list[tuple[str, int]]) -> None:
        """Ask for processes, by role and number. Only once it has loaded the app."""
        self._unsent += json.dumps({"fork": processes}).encode() + b"\n"
        self._send()

    def finish(self) -> None:
        """Ask for nothing more: it finishes what it was asked for and ends. Loading, it is stopped."""
        if not self.loaded:
            os.kill(self.pid, signal.SIGTERM)
        elif self._socket.fileno() >= 0:
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Hang up: the template ends. What it said before is heard first."""
        if self._socket.fileno() >= 0:
            # From here on nothing can be said to us (EPIPE), and what was said can still be read.
            self._socket.shutdown(socket.SHUT_RD)
            self._readable()
        self._hang_up()

    def _hang_up(self) -> None:
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
                self._heard(json.loads(line))
                if self._socket.fileno() < 0:
                    return

    def _heard(self, message: dict[str, Any]) -> None:
        if "forked" in message:
            self.listener.forked(*message["forked"])
        elif "refused" in message:
            self.listener.refused(*message["refused"])
        elif "failed" in message:
            self.listener.template_failed(message["failed"])
        elif "loaded" in message:
            self.loaded = True
            self.listener.template_loaded()
