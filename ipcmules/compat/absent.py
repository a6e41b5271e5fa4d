"""The names of uWSGI's module that do nothing here, and what to use in their place.

They exist, so that imports and hasattr() succeed; calling them raises NotImplementedError. Two kinds: what
belongs to uWSGI's web server, and stores that ipcmules does not have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

_HTTP = "the application's web server (gunicorn, granian, uvicorn) has the request"
_SOCKETS = "use the socket and select modules, or asyncio"
_LEGION = "use a lock service, or one machine and ipcmules.Lock"
_SNMP = "export numbers with a metrics library"
_WEBSOCKET = "use an ASGI server, or the websockets package"

#: Of uWSGI's web server, for ever: name to what to use.
SERVER: dict[str, str] = {
    "accepting": _HTTP,
    "add_var": "change the WSGI environment itself",
    "async_connect": _SOCKETS,
    "async_sleep": "use time.sleep, or asyncio.sleep",
    "chunked_read": "read environ['wsgi.input']",
    "chunked_read_nb": "read environ['wsgi.input']",
    "cl": "use environ['CONTENT_LENGTH']",
    "close": _SOCKETS,
    "connect": _SOCKETS,
    "connection_fd": _HTTP,
    "disconnect": "return from the application, and go on in a mule or a spooler",
    "embedded_data": "use importlib.resources",
    "get_logvar": "use the logging module",
    "green_schedule": "use the event loop's own call",
    "i_am_the_lord": _LEGION,
    "is_connected": _SOCKETS,
    "listen_queue": _HTTP,
    "log_this_request": "configure the web server's access log",
    "lord_scroll": _LEGION,
    "offload": "return a file with wsgi.file_wrapper",
    "ready_fd": _SOCKETS,
    "recv": _SOCKETS,
    "route": "use the framework's router",
    "scrolls": _LEGION,
    "send": _SOCKETS,
    "sendfile": "return a file with wsgi.file_wrapper",
    "set_logvar": "use the logging module",
    "set_warning_message": "use the logging module",
    "start_response": "use the start_response that the application is called with",
    "suspend": "stop sending to the process",
    "wait_fd_read": _SOCKETS,
    "wait_fd_write": _SOCKETS,
    "websocket_handshake": _WEBSOCKET,
    "websocket_recv": _WEBSOCKET,
    "websocket_recv_nb": _WEBSOCKET,
    "websocket_send": _WEBSOCKET,
    "websocket_send_binary": _WEBSOCKET,
    **{f"snmp_set_{each}": _SNMP for each in ("community", "counter32", "counter64", "gauge")},
    **{
        f"snmp_{how}_{each}": _SNMP
        for how in ("incr", "decr")
        for each in ("counter32", "counter64", "gauge")
    },
}

_CACHE = "use a cache of the framework's, or a file under a lock"
_QUEUE = "use mule_msg, or the spooler"
_SHAREDAREA = "use multiprocessing.shared_memory under a lock"
_METRIC = "count with a metrics library"

#: Stores that may come: name to what to use until then.
STORES: dict[str, str] = {
    **{
        f"cache_{each}": _CACHE
        for each in ("clear", "dec", "div", "inc", "keys", "mul", "num", "set", "update")
    },
    **{
        f"queue_{each}": _QUEUE for each in ("get", "set", "last", "push", "pull", "pop", "slot", "pull_slot")
    },
    **{
        f"sharedarea_{each}": _SHAREDAREA
        for each in (
            *("read", "write", "readbyte", "writebyte", "readlong", "writelong", "inclong"),
            *(f"{how}{bits}" for how in ("read", "write") for bits in (8, 16, 32, 64)),
            *(f"{how}{bits}" for how in ("inc", "dec") for bits in (32, 64)),
            *("rlock", "wlock", "unlock", "object", "memoryview", "update"),
        )
    },
    **{
        f"metric_{each}": _METRIC for each in ("dec", "div", "get", "inc", "mul", "set", "set_max", "set_min")
    },
}

#: Import hooks for what is linked into uWSGI's binary.
CLASSES = ("SymbolsImporter", "SymbolsZipImporter", "ZipImporter")


def function(name: str, remedy: str, kind: str) -> Callable[..., Any]:
    """A function of that name that raises NotImplementedError."""

    def absent(*_arguments: Any, **_keywords: Any) -> NoReturn:
        raise NotImplementedError(f"uwsgi.{name}() {kind}: {remedy}")

    absent.__name__ = absent.__qualname__ = name
    absent.__doc__ = f"Not here: {remedy}."
    return absent


def everything() -> dict[str, Any]:
    """All of them by name."""
    found: dict[str, Any] = {
        name: function(name, remedy, "belongs to uWSGI's web server and is not here")
        for name, remedy in SERVER.items()
    }
    for name, remedy in STORES.items():
        found[name] = function(name, remedy, "is not here yet")
    for name in CLASSES:
        found[name] = type(name, (), {"__init__": function(name, "use zipimport", "is not here")})
    return found
