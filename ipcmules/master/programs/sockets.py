"""The sockets of --socket, --metrics, --stats and --web: bound by the master before anything starts.

So an address that cannot be had is an error of the start, and who serves one (servers.py) and is started
again finds what came meanwhile in the backlog. Knows addresses.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Sequence

from ipcmules.bus import log
from ipcmules.errors import ConfigError
from ipcmules.kernel.peers import short_path
from ipcmules.wire import packets

_BACKLOG = 1024
#: What the log says of the sockets of an option.
_SAID = {
    "socket": "listening for uwsgi packets",
    "metrics": "serving /metrics",
    "stats": "serving statistics",
    "web": "serving the page ('ipcmules web --token' tells its token)",
}


class Sockets:
    """The bound sockets of an option."""

    def __init__(self, option: str, addresses: Sequence[str], directory: str, say: bool = True) -> None:
        """Bind them all. say: in the log. Raises ConfigError for one that cannot be had."""
        self._option = option
        self._say = say
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
            if packets.is_path(address):
                return self._bound_unix(address, directory)
            host, port = packets.split_address(address)
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            found = socket.create_server((host or "127.0.0.1", port), family=family, backlog=_BACKLOG)
        except OSError as error:
            raise ConfigError(
                f"--{self._option} {address}: {error.strerror or error}: give another address, or end what "
                "has it"
            ) from error
        host, port = found.getsockname()[:2]
        self._tell(f"{host}:{port}")
        return found

    def _bound_unix(self, address: str, directory: str) -> socket.socket:
        found = socket.socket(socket.AF_UNIX)
        try:
            if address.startswith("@"):
                found.bind(f"\0{address[1:]}")
            else:
                path = os.path.join(directory, address)
                _remove_dead(path)
                with short_path(path) as short:
                    found.bind(short)
                self._paths.append(path)
                os.chmod(path, 0o600)
            found.listen(_BACKLOG)
        except BaseException:
            found.close()
            raise
        self._tell(address)
        return found

    def _tell(self, address: str) -> None:
        if self._say:
            log.event("info", f"{_SAID[self._option]} at {address}")


def _remove_dead(path: str) -> None:
    """Remove a socket that nobody listens at; anything else stays, and binding says so."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
        packets.connect(path, 1.0).close()
    except FileNotFoundError:
        return
    except OSError:
        os.unlink(path)
