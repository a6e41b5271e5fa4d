"""The service manager above this process, if there is one: systemd's notification protocol (sd_notify(3)).

Knows the environment and one datagram socket, and nothing of buses. Nothing here waits: a manager that does
not read now is told later, by who owns the Notifier.
"""

from __future__ import annotations

import errno
import os
import socket
import time

#: What the service manager sets for the process that it starts.
_SOCKET, _WATCHDOG, _WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
#: The manager reads too slowly: its socket's buffer is full.
_FULL = (errno.EAGAIN, errno.ENOBUFS)


class Notifier:
    """Tells the service manager about this process.

    address: as NOTIFY_SOCKET has it, a path, or @NAME for an abstract socket. watchdog: within so many
    seconds the manager wants a sign of life, 0.0 for never.
    """

    def __init__(self, address: str, watchdog: float = 0.0) -> None:
        self.address = address
        self.watchdog = watchdog
        self._to = f"\0{address[1:]}" if address.startswith("@") else address
        # Held open: where there is no descriptor any more, the signs of life go on.
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def send(self, text: str) -> bool:
        """Send one datagram of assignments, a line each. False if it has to be sent again later.

        Raises OSError if there is nobody at the address.
        """
        try:
            self._socket.sendto(text.encode(errors="surrogateescape"), self._to)
        except InterruptedError:
            return False
        except OSError as error:
            if error.errno in _FULL:
                return False
            raise
        return True

    def close(self) -> None:
        """Send nothing any more."""
        self._socket.close()


def take() -> Notifier | None:
    """The manager that the environment names, None if there is none. Takes its variables out of it.

    What this process starts is not to speak in its name: a web server would say that all is ready.
    Raises OSError where no socket can be had.
    """
    address = os.environ.pop(_SOCKET, "")
    microseconds, pid = os.environ.pop(_WATCHDOG, ""), os.environ.pop(_WATCHDOG_PID, "")
    if not address:
        return None
    mine = not pid or pid == str(os.getpid())
    wanted = int(microseconds) / 1e6 if mine and microseconds.isascii() and microseconds.isdigit() else 0.0
    return Notifier(address, wanted)


def now() -> str:
    """The moment as the manager compares it (CLOCK_MONOTONIC, microseconds): Type=notify-reload wants it."""
    return f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


def more_time(seconds: float) -> str:
    """Asks for so many seconds from now for what is going on: a start, a reload, a stop."""
    return f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}"


def status(text: str) -> str:
    """What `systemctl status` shows: one line."""
    line = text.strip().partition("\n")[0]
    return f"STATUS={line}"
