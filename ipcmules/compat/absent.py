"""The names of uWSGI's module that raise when they are called, and what to use in their place.

An answer would be a lie: the request is the web server's. What uWSGI answers quietly is in quiet.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

_HTTP = "the application's web server (gunicorn, granian, uvicorn) has the request"
_WEBSOCKET = "use an ASGI server, or the websockets package"

#: Of uWSGI's web server, for ever: name to what to use.
SERVER: dict[str, str] = {
    "chunked_read": "read environ['wsgi.input']",
    "chunked_read_nb": "read environ['wsgi.input']",
    "cl": "use environ['CONTENT_LENGTH']",
    "connection_fd": _HTTP,
    "route": "use the framework's router",
    "sendfile": "return a file with wsgi.file_wrapper",
    "start_response": "use the start_response that the application is called with",
    "websocket_handshake": _WEBSOCKET,
    "websocket_recv": _WEBSOCKET,
    "websocket_recv_nb": _WEBSOCKET,
    "websocket_send": _WEBSOCKET,
    "websocket_send_binary": _WEBSOCKET,
}


class Absent(NotImplementedError, OSError):
    """What uWSGI's own calls raise for a request that cannot be read or written is an OSError."""


#: Import hooks for what is linked into uWSGI's binary.
CLASSES = ("SymbolsImporter", "SymbolsZipImporter", "ZipImporter")


def function(name: str, remedy: str, kind: str) -> Callable[..., Any]:
    """A function of that name that raises NotImplementedError."""

    def absent(*_arguments: Any, **_keywords: Any) -> NoReturn:
        raise Absent(f"uwsgi.{name}() {kind}: {remedy}")

    absent.__name__ = absent.__qualname__ = name
    absent.__doc__ = f"Not here: {remedy}."
    return absent


def everything() -> dict[str, Any]:
    """All that are always there, by name."""
    found: dict[str, Any] = {
        name: function(name, remedy, "belongs to uWSGI's web server and is not here")
        for name, remedy in SERVER.items()
    }
    for name in CLASSES:
        found[name] = type(name, (), {"__init__": function(name, "use zipimport", "is not here")})
    return found
