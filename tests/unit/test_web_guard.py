"""Who may ask the page's process what, without a bus and without a browser."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ipcmules.bus.places import places
from ipcmules.errors import ConfigError
from ipcmules.web import guard, tokens
from ipcmules.web.guard import Guard, Terms

TOKEN = "a-token-of-twenty-letters"
JSON = {"content-type": "application/json", "content-length": "2"}
READ = {"host": "127.0.0.1:8791", "authorization": f"Bearer {TOKEN}"}
WRITE = {**READ, **JSON}


async def _application(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})


def _ask(
    headers: dict[str, str], method: str = "GET", path: str = "/api/tasks", **terms: Any
) -> tuple[int, dict[bytes, bytes], bytes]:
    known: dict[str, Any] = {"token": TOKEN, "hosts": frozenset({"shop.example"}), "open": frozenset({"/"})}
    guarded = Guard(_application, Terms(**{**known, **terms}))
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    packed = [(key.encode(), value.encode("latin-1")) for key, value in headers.items()]
    scope: Any = {"type": "http", "method": method, "path": path, "headers": packed}
    asyncio.run(guarded(scope, None, send))  # type: ignore[arg-type]
    first, second = sent
    return first["status"], dict(first["headers"]), second["body"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_PAUSE", 0.0)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:1",
        "127.0.0.1",
        "localhost",
        "LOCALHOST:80",
        "[::1]:8791",
        "192.0.2.7:80",
        "shop.example:443",
    ],
)
def test_hosts_that_are_known(host: str) -> None:
    assert _ask({**READ, "host": host})[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "shop.example.",
        "[evil]:1",
        "a@localhost",
    ],
)
def test_another_name_for_this_machine_is_refused(host: str) -> None:
    for path in ("/", "/api/tasks"):
        assert _ask({**READ, "host": host}, path=path)[0] == 421


def test_the_token() -> None:
    assert _ask(READ)[0] == 200
    for wrong in (
        "",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer \xe9",
    ):
        code, _headers, body = _ask({"host": "localhost", "authorization": wrong})
        assert code == 401 and "ipcmules web --token" in json.loads(body)["error"]
    assert _ask({"host": "localhost", "cookie": f"token={TOKEN}"})[0] == 401
    # What is not among the open files needs it, whatever it is called.
    for path in ("/api/../", "//api/tasks", "/docs", "/page.js/"):
        assert _ask({"host": "localhost"}, path=path)[0] == 401


def test_who_may_change_something() -> None:
    assert _ask(WRITE, "POST")[0] == 200
    same = {**WRITE, "origin": "http://127.0.0.1:8791", "sec-fetch-site": "same-origin"}
    assert _ask(same, "POST")[0] == 200
    assert _ask({**same, "origin": "https://127.0.0.1:8791"}, "POST")[0] == 200, "behind a server with TLS"
    for origin in (
        "http://evil.example",
        "null",
        "http://127.0.0.1:8792",
        "http://127.0.0.1:8791.evil.example",
    ):
        assert _ask({**WRITE, "origin": origin}, "POST")[0] == 403
    for site in ("cross-site", "same-site"):
        assert _ask({**WRITE, "sec-fetch-site": site}, "POST")[0] == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert _ask({**WRITE, "content-type": kind}, "POST")[0] == 415
    assert _ask({**READ, "content-type": "application/json"}, "POST")[0] == 411
    assert _ask({**WRITE, "content-length": str(guard.LONGEST + 1)}, "POST")[0] == 413
    assert _ask({**WRITE, "content-length": "9" * 5000}, "POST")[0] == 413
    assert _ask({"host": "localhost", **JSON}, "POST")[0] == 401
    assert _ask(WRITE, "POST", "/")[0] == 405


def test_a_page_that_only_shows() -> None:
    assert _ask(READ, read_only=True)[0] == 200
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert _ask(WRITE, method, read_only=True)[0] == 403


def test_what_every_answer_says() -> None:
    answers = (_ask(READ), _ask(READ, path="/"), _ask({"host": "evil.example"}), _ask({"host": "localhost"}))
    for _code, headers, _body in answers:
        policy = headers[b"content-security-policy"].decode()
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "*" not in policy
        assert headers[b"x-content-type-options"] == b"nosniff"
        assert headers[b"cache-control"] == b"no-store"
        assert not any(name.startswith(b"access-control-") for name in headers)
    assert TOKEN not in repr(Terms(TOKEN))


def test_a_token_is_made_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IPCMULES_STATE_DIR", str(tmp_path / "state"))
    where = places("tokens")
    with ThreadPoolExecutor(8) as executor:
        found = set(executor.map(lambda _number: tokens.token(where), range(32)))
    assert len(found) == 1
    [path] = Path(where.state).iterdir()
    assert path.read_text() == f"{found.pop()}\n" and path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="open to others"):
        tokens.token(where)
