"""The sockets of --socket: bound by the master before anything starts, served by the listener.

So an address that cannot be had is an error of the start, and a listener that is started again finds what
came
meanwhile in the backlog. Knows addresses, and how the listener's interpreter is started.
"""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Sequence

from ipcmules import log, wire
from ipcmules.errors import ConfigError
from ipcmules.places import PACKAGE

_BACKLOG = 1024

#: As for the template: neither the current directory nor what an app puts there comes first.
_BOOT = """\
import sys
root = sys.argv[1]
sys.path[:] = [path for path in sys.path if path]
if root not in sys.path:
    sys.path.append(root)
from ipcmules.listener.main import main
main([int(each) for each in sys.argv[2:]])
"""


class Sockets:
    """The bound sockets of a bus."""

    def __init__(self, addresses: Sequence[str], directory: str) -> None:
        """Bind them all. Raises ConfigError for one that cannot be had."""
        self._sockets: list[socket.socket] = []
        self._paths: list[str] = []
        try:
            for each in addresses:
                self._sockets.append(self._bound(each, directory))
        except BaseException:
            self.close()
            raise

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Their descriptors, which the listener inherits under the same numbers."""
        return tuple(each.fileno() for each in self._sockets)

    def command(self) -> tuple[str, ...]:
        """What starts the listener."""
        return (sys.executable, "-c", _BOOT, os.path.dirname(PACKAGE), *map(str, self.descriptors))

    def close(self) -> None:
        """Close them; Unix sockets are removed."""
        for each in self._sockets:
            each.close()
        for path in self._paths:
            try:
                os.unlink(path)
            except OSError:
                pass  # somebody was faster
        self._sockets, self._paths = [], []

    def _bound(self, address: str, directory: str) -> socket.socket:
        try:
            if wire.is_path(address):
                return self._bound_unix(address, directory)
            host, port = wire.split_address(address)
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            found = socket.create_server((host or "127.0.0.1", port), family=family, backlog=_BACKLOG)
        except OSError as error:
            raise ConfigError(
                f"--socket {address}: {error.strerror or error}: give another address, or end what has it"
            ) from error
        host, port = found.getsockname()[:2]
        log.event("info", f"listening for uwsgi packets at {host}:{port}")
        return found

    def _bound_unix(self, address: str, directory: str) -> socket.socket:
        found = socket.socket(socket.AF_UNIX)
        try:
            if address.startswith("@"):
                found.bind(f"\0{address[1:]}")
            else:
                path = os.path.join(directory, address)
                _remove_dead(path)
                with wire.short_path(path) as short:
                    found.bind(short)
                self._paths.append(path)
                os.chmod(path, 0o600)
            found.listen(_BACKLOG)
        except BaseException:
            found.close()
            raise
        log.event("info", f"listening for uwsgi packets at {address}")
        return found


def _remove_dead(path: str) -> None:
    """Remove a socket that nobody listens at; anything else stays, and binding says so."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
        wire.connect(path, 1.0).close()
    except FileNotFoundError:
        return
    except OSError:
        os.unlink(path)
