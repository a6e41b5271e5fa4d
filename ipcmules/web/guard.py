"""Who may ask what: in front of everything that the page's process answers. Knows ASGI and HTTP, no bus.

- A name in `Host` that nobody gave us is refused: no other site's name can be pointed here (DNS rebinding).
- All but the page's own three files needs the token, in a header that no other site's page can set. There is
  no cookie: those are sent by whatever page asks, and to every port of a host.
- What changes something must come from this very page (`Origin`, `Sec-Fetch-Site`) or from no browser, as
  JSON, and not at all where the page only shows.
- The page may load, frame and run nothing but its own files, whatever gets into it.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

#: The longest body of a request, bytes.
LONGEST = 1 << 20
#: Who has a wrong token waits so long, seconds.
_PAUSE = 0.5
_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
        b"trusted-types 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    (b"cache-control", b"no-store"),
)


@dataclass(frozen=True)
class Terms:
    """token: the secret. hosts: names that `Host` may have beside 'localhost' and addresses. open: the paths
    that need no token. read_only: nothing can be changed."""

    token: str = field(repr=False)
    hosts: frozenset[str] = frozenset()
    open: frozenset[str] = frozenset()
    read_only: bool = False


class Guard:
    """An ASGI application around another one."""

    def __init__(self, application: Application, terms: Terms) -> None:
        self._application = application
        self._terms = terms
        self._token = terms.token.encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            return  # there is nothing else here: a WebSocket is refused by that

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        headers = _headers(scope)
        refused = self._refused(scope, headers)
        if refused is None:
            await self._application(scope, receive, guarded)
            return
        code, text = refused
        if code == 401 and b"authorization" in headers:
            await asyncio.sleep(_PAUSE)
        body = json.dumps({"error": text}).encode()
        first = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await guarded({"type": "http.response.start", "status": code, "headers": first})
        await guarded({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _refused(self, scope: Message, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        """The status and the words for a request that is not let in; None for one that is."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if not _is_known(host, self._terms.hosts):
            return 421, f"the name {_name(host)!r} is not one of this page's: start it with --web-host NAME"
        if scope["path"] in self._terms.open:
            return None if scope["method"] in ("GET", "HEAD") else (405, "GET it")
        kind, _space, given = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
            return 401, "the token is missing or wrong: 'ipcmules web --token' tells it"
        if scope["method"] in ("GET", "HEAD"):
            return None
        return self._refused_to_write(headers, host)

    def _refused_to_write(self, headers: dict[bytes, bytes], host: str) -> tuple[int, str] | None:
        if self._terms.read_only:
            return 403, "this page only shows (--web-read-only)"
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").lower() not in (
            f"http://{host}",
            f"https://{host}",
        ):
            return 403, "this comes from another site's page"
        if headers.get(b"sec-fetch-site", b"same-origin") not in (b"same-origin", b"none"):
            return 403, "this comes from another site's page"
        if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
            return 415, "send JSON (Content-Type: application/json)"
        length = headers.get(b"content-length", b"")
        if not length.isdigit():
            return 411, "say how long it is (Content-Length)"
        return (413, f"at most {LONGEST} bytes are taken") if int(length[:20]) > LONGEST else None


def _headers(scope: Message) -> dict[bytes, bytes]:
    """By name, in small letters. One that is given twice says nothing: who asks may mean either."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        found[name] = b"\0" if name in found else value
    return found


def _name(host: str) -> str:
    """A `Host` without its port."""
    if host.startswith("["):
        return host.partition("]")[0][1:]
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and ":" in host else host


def _is_known(host: str, known: frozenset[str]) -> bool:
    """An address is what the browser was told to go to, so nobody else's name stands for it."""
    name = _name(host)
    if name == "localhost" or name in known:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
