"""A socket whose connections may go from thread to thread, whatever gevent has put in the place of sockets.

gevent's belong to the thread that made them. Apart from unpatched.py, which every process of an app imports.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from ipcmules.kernel import unpatched

if TYPE_CHECKING:
    from socket import socket as _Original  # noqa: N812
else:
    _Original = unpatched.original(socket, "socket")


class Socket(_Original):
    """socket.socket, unpatched."""

    def accept(self) -> tuple[Socket, Any]:
        """See socket.socket."""
        descriptor, address = self._accept()  # type: ignore[attr-defined] # socket.py makes its own by name
        return Socket(self.family, self.type, self.proto, fileno=descriptor), address
