"""uwsgi.connect(), send(), recv(), close() and the like: thin calls of uWSGI's over a descriptor.

They need nothing of its web server. What uWSGI reports by a number or None is reported so here.
"""

from __future__ import annotations

import os
import socket
from typing import Any, NoReturn

#: uWSGI reads no more at once (recv()).
_LARGEST = 4096


def connect(address: str, timeout: int = 0, /) -> int:
    """A descriptor that is connected to HOST:PORT or a Unix socket; -1 if that did not work.

    timeout: seconds; 0 is uWSGI's own default, 3.
    """
    from ipcmules.wire import packets

    try:
        connection = packets.connect(address, timeout or 3)
    except (OSError, ValueError):
        return -1
    connection.setblocking(True)
    return connection.detach()


def async_connect(address: str, /) -> int:
    """The same; the descriptor does not block. Unlike there it is connected already."""
    descriptor = connect(address)
    if descriptor >= 0:
        os.set_blocking(descriptor, False)
    return descriptor


def is_connected(fd: int, /) -> bool:
    """True if a socket has no error to report."""
    try:
        copy = socket.socket(fileno=os.dup(fd))
    except OSError:
        return False
    try:
        return copy.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    except OSError:
        return False
    finally:
        copy.close()


def recv(fd: int, size: int = _LARGEST, /) -> bytes | None:
    """What can be read, up to 4,096 bytes; None at the end and for an error."""
    try:
        return os.read(fd, min(size, _LARGEST)) or None
    except OSError:
        return None


def send(fd: Any, data: Any = None, /) -> bool | None:
    """Write to a descriptor: True, or None if that did not work."""
    if data is None:
        raise NotImplementedError(
            "uwsgi.send(DATA) writes to the request, which the application's web server has: "
            "yield the data from the application"
        )
    try:
        os.write(fd, data.encode() if isinstance(data, str) else data)
    except OSError:
        return None
    return True


def close(fd: int, /) -> None:
    """Close a descriptor; one that is not open is no error, as there."""
    try:
        os.close(fd)
    except OSError:
        pass


def wait_fd(fd: int, timeout: int = 0, /) -> NoReturn:
    """OSError, as in a uWSGI without an async loop."""
    raise OSError(f"unable to fd {fd} to the event queue: use the selectors module, or asyncio")


def embedded_data(name: str, /) -> NoReturn:
    """ValueError, as for a name that is not linked into uWSGI's binary."""
    raise ValueError(f"unable to find symbol {name}: nothing is linked in here, use importlib.resources")


def listen_queue(number: int = 0, /) -> int:
    """0 for the first socket: the web server has the queue. ValueError for others, as there."""
    if number:
        raise ValueError(f"unable to find socket {number}")
    from ipcmules.compat import quiet

    quiet.say("listen_queue", "the web server has the socket")
    return 0


CALLS = {
    "async_connect": async_connect,
    "close": close,
    "connect": connect,
    "embedded_data": embedded_data,
    "is_connected": is_connected,
    "listen_queue": listen_queue,
    "recv": recv,
    "send": send,
    "wait_fd_read": wait_fd,
    "wait_fd_write": wait_fd,
}
