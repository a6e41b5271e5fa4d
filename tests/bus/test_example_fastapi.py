"""The example of FastAPI, asked by a client; and the lifespan and the dependency by themselves."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

import ipcmules
from conftest import BusEnvironment
from ipcmules import asgi
from ipcmules.errors import NotAttached
from support import Launcher, wait_until
from webservers import free_port

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fastapi"


def test_requests_start_tasks_and_send_messages(bus_env: BusEnvironment, bus_name: str) -> None:
    pytest.importorskip("fastapi")
    home = bus_env.directory / "fastapi"
    shutil.copytree(EXAMPLE, home, ignore=shutil.ignore_patterns("__pycache__", "spool"))
    port = free_port()
    serve = (sys.executable, "-m", "uvicorn", "--workers", "2", "--port", str(port), "app:app")
    ours = ("--bus", bus_name, "--spooler", "spool", "--spooler-nice", "0")

    def ask(path: str, given: Any = None, **params: str | int) -> Any:
        """What it answers to a GET, or to a POST of what is given, as JSON."""
        data = None if given is None else json.dumps(given).encode()
        url = f"http://127.0.0.1:{port}{path}?{urlencode(params)}"
        request = Request(url, data, {"Content-Type": "application/json"})
        with urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def about() -> Any:
        try:
            return ask("/")
        except URLError:
            return None  # it starts

    with Launcher(*ours, "--mule=clerk.py", "--import", "reports", command=serve, cwd=home) as launcher:
        assert wait_until(about, 30, "uvicorn") == {"bus": bus_name, "spoolers": 1}
        task_id = ask("/reports", {"name": "sales", "rows": 3})["id"]
        got = ask("/reports", id=task_id, wait=30)
        assert got == {"status": "succeeded", "report": {"name": "sales", "rows": 3}}
        task_id = ask("/reports", {"name": "none", "rows": -1})["id"]
        got = ask("/reports", id=task_id, wait=30)
        assert got["status"] == "dead" and "a report has no -1 rows" in got["reason"]
        assert ask("/notes", {}, text="hello") == {"sent": True}
        launcher.wait_output("noted: hello\n")
    assert launcher.code == 0, launcher.output()


def test_a_lifespan_joins_a_bus_by_its_name_and_leaves_it(bus_env: BusEnvironment, bus_name: str) -> None:
    seen: list[Any] = []

    @asynccontextmanager
    async def inner(app: Any) -> AsyncIterator[dict[str, int]]:
        seen.append((app, asgi.bus().name))
        yield {"more": 1}
        seen.append("over")

    async def life(name: str | None, required: bool = True) -> None:
        async with asgi.lifespan(name, inner if required else None, required)("the app") as state:
            seen.append({**state, "bus": state["bus"].name} if "bus" in state else state)

    with Launcher("--bus", bus_name, "--mules", "1") as launcher:
        asyncio.run(life(bus_name))
        assert seen == [("the app", bus_name), {"bus": bus_name, "more": 1}, "over"]
        with pytest.raises(NotAttached, match=r"lifespan=ipcmules\.asgi\.lifespan"):
            asgi.bus()
        launcher.stop()
    with pytest.raises(NotAttached, match=bus_name):
        asyncio.run(life(bus_name))
    seen.clear()
    asyncio.run(life(bus_name, required=False))
    assert seen == [{}]
    assert ipcmules.masterpid() == 0
