"""The gunicorn example: real gunicorn, two workers, HTTP over the loopback device."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from support import Launcher, wait_until

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "gunicorn"

Ask = Callable[..., Any]


@contextmanager
def served(tmp_path: Path, *options: str) -> Iterator[tuple[Launcher, Ask]]:
    """The example, running: its launcher, and a function that asks it for a path."""
    gunicorn = [sys.executable, "-m", "gunicorn", "-w", "2", "-b", "127.0.0.1:0", *options, "app:app"]
    environment = {**os.environ, "VISITS": str(tmp_path / "visits.txt")}
    with Launcher("--mule=audit.py", command=gunicorn, cwd=EXAMPLE, env=environment) as launcher:
        found = wait_until(lambda: re.search(r"Listening at: http://127.0.0.1:(\d+)", launcher.stderr), 30)
        port = int(found[1])

        def ask(path: str, body: bytes | None = None) -> Any:
            connection = HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                connection.request("GET" if body is None else "POST", path, body)
                return json.loads(connection.getresponse().read())
            finally:
                connection.close()

        yield launcher, ask


def both_workers(ask: Ask, refreshed: int) -> dict[int, int]:
    """The two workers' pids by worker number, once both have answered and handled so many signals."""
    seen: dict[int, int] = {}

    def settled() -> bool:
        answer = ask("/")
        if answer["worker"] and answer["refreshed"] == refreshed:
            seen[answer["worker"]] = answer["pid"]
        return len(seen) == 2

    wait_until(settled, 30, f"an answer of both workers with refreshed={refreshed}")
    return seen


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["plain", "preload"])
def test_workers_send_take_signals_and_share_a_lock(
    bus_env: object, tmp_path: Path, options: tuple[str, ...]
) -> None:
    with served(tmp_path, *options) as (launcher, ask):
        workers = both_workers(ask, refreshed=0)
        assert set(workers) == {1, 2}, "the arbiter holds a number that is its workers'"

        assert ask("/audit", b"a new order") == {"accepted": True}
        launcher.wait_output("audit: a new order\n")

        ask("/refresh", b"")
        assert both_workers(ask, refreshed=1) == workers
        ask("/refresh", b"")
        assert both_workers(ask, refreshed=2) == workers

        threads = [Thread(target=lambda: [ask("/count", b"") for _ in range(10)]) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert ask("/count", b"") == {"visits": 41}
    assert launcher.code == 0, launcher.output()


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["plain", "preload"])
def test_a_killed_worker_is_replaced_under_its_number(
    bus_env: object, tmp_path: Path, options: tuple[str, ...]
) -> None:
    with served(tmp_path, *options) as (launcher, ask):
        before = both_workers(ask, refreshed=0)
        os.kill(before[1], signal.SIGKILL)
        after = wait_until(lambda: _replaced(ask, before), 30, "a new worker 1")
        assert after[2] == before[2]
        ask("/refresh", b"")
        assert both_workers(ask, refreshed=1) == after
    assert launcher.code == 0, launcher.output()


def _replaced(ask: Ask, before: dict[int, int]) -> dict[int, int] | None:
    try:
        now = both_workers(ask, refreshed=0)
    except OSError:
        return None  # the connection was the killed worker's
    return now if now[1] != before[1] else None
