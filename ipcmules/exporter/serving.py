"""What is said at a connection: Prometheus' text over HTTP; uWSGI's statistics, plain or over HTTP."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import Any

from ipcmules.bus.places import Places
from ipcmules.exporter import uwsgi_stats
from ipcmules.snapshot import take

Serve = Callable[[socket.socket], None]


def _metrics(where: Places) -> Serve:
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder

    from ipcmules.exporter.collecting import BusCollector

    registry = CollectorRegistry(auto_describe=False)
    registry.register(BusCollector(where))

    def answer(path: str, accept: str) -> tuple[int, str, bytes]:
        if path.partition("?")[0] not in ("/metrics", "/"):
            return 404, "text/plain", b"/metrics is here\n"
        encode, kind = choose_encoder(accept)
        return 200, kind, encode(registry)

    return lambda connection: _http(connection, answer)


def _stats(where: Places) -> Serve:
    def serve(connection: socket.socket) -> None:
        connection.sendall(_told(where))

    return serve


def _stats_http(where: Places) -> Serve:
    def answer(_path: str, _accept: str) -> tuple[int, str, bytes]:
        return 200, "application/json", _told(where)

    return lambda connection: _http(connection, answer)


def _told(where: Places) -> bytes:
    return json.dumps(uwsgi_stats.told(take(where, events=True))).encode()


#: What makes the server of a kind.
KINDS: Mapping[str, Callable[[Places], Serve]] = {
    "metrics": _metrics,
    "stats": _stats,
    "stats-http": _stats_http,
}

Answer = Callable[[str, str], tuple[int, str, bytes]]


def _http(connection: socket.socket, answer: Answer) -> None:
    """One request of HTTP."""
    server: Any = SimpleNamespace(answer=answer)
    _Request(connection, ("", 0), server)


class _Request(BaseHTTPRequestHandler):
    """GET and HEAD; whatever else is asked gets 501 from the standard library."""

    server_version = "ipcmules"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer."""
        code, kind, data = self.server.answer(self.path, self.headers.get("Accept", ""))  # type: ignore[attr-defined]
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_HEAD(self) -> None:
        """The same without the body."""
        self.do_GET()

    def log_message(self, *_given: object) -> None:
        """Who asks for numbers stands in no log."""
