"""The small examples, each by the command that stands in it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support import Launcher, run_cli

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(directory: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=EXAMPLES / directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pool(bus_env: object, method: str) -> None:
    done = run("pool", "pool.py", method)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "500 numbers, 55 primes; journal: 55 lines; tally: 55\n"


def test_asyncio(bus_env: object) -> None:
    done = run_cli("run", "--mule=push.py", "--", sys.executable, "publish.py", cwd=EXAMPLES / "asyncio")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        *["welcome"] * 2,
        *["breaking news", "more at eight"] * 2,
        *["hello, all 2"] * 2,
    ]


def test_embedded(bus_env: object) -> None:
    done = run("embedded", "embedded.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "log: ten numbers sent\nsquares: 1 4 9 16 25 36 49 64 81 100\n"


def test_attach(bus_env: object) -> None:
    closed = run("attach", "order.py", "3", "apples")
    assert closed.returncode == 1
    assert closed.stderr.startswith("order.py: the shop is closed: bus 'shop' is not running")
    with Launcher("--bus", "shop", "--mule=clerk.py", cwd=EXAMPLES / "attach") as launcher:
        done = run("attach", "order.py", "3", "apples")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        launcher.wait_output("clerk 1 has an order: 3 apples\n")
    assert launcher.code == 0


def test_decorators(bus_env: object) -> None:
    done = run_cli(
        "run",
        "--mules",
        "2",
        "--import",
        "app.py",
        "--",
        sys.executable,
        "use.py",
        cwd=EXAMPLES / "decorators",
    )
    assert done.returncode == 0, done.stderr
    lines = sorted(done.stdout.splitlines())
    assert re.fullmatch(r"mule 1 cleans up; rounds so far: [1-9]\d*", lines[1]), lines
    assert [lines[0], *lines[2:]] == [
        "mule 1 begins",
        "mule 2 begins",
        "mule 2 cleans up; rounds so far: 0",
        "report from mule 2: all is well",
        "thumbnail of cat.png, 128 pixels, made by a mule: True",
    ]
