"""Calls of the caches of another server: uWSGI's of ours, ours of uWSGI's, held beside uWSGI's of its own."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from realuwsgi import transcript
from support import Launcher, wait_until

HERE = Path(__file__).resolve().parent
MULE = "--mule=remote_cache_calls.py"


def caches(more: int) -> tuple[str, ...]:
    """more: uWSGI holds one entry less than it is told."""
    described = ("name=one,items=100,blocksize=100,keysize=60,lazy=1", f"name=full,items={4 + more}")
    return tuple(word for each in described for word in ("--cache2", each))


def test_each_asks_the_other(
    start_uwsgi: Callable[..., Any], bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    directories = {name: tmp_path / name for name in ("asks uwsgi", "asks ours", "ours")}
    for each in directories.values():
        each.mkdir()
        shutil.copy(HERE / "remote_cache_calls.py", each)

    def theirs(node: str, name: str) -> list[str]:
        (directories[name] / "node").write_text(node)
        client = start_uwsgi("--chdir", str(directories[name]), MULE, directory=directories[name])
        client.wait_for("CALLED")
        return transcript(client.text)

    server = start_uwsgi(*caches(1), directory=tmp_path)
    expected = theirs(server.address, "asks uwsgi")
    assert len(expected) > 25
    serving = (*caches(0), "--compat", "--socket", "127.0.0.1:0", "--bus", f"{bus_name}-served")
    with Launcher(*serving, cwd=tmp_path) as served:
        address = wait_until(lambda: re.search(r"packets at (127.0.0.1:\d+)", served.stderr))[1]
        found = theirs(address, "asks ours")
    assert found == expected
    (directories["ours"] / "node").write_text(server.address)
    with Launcher("--bus", bus_name, "--compat", MULE, cwd=directories["ours"]) as asking:
        asking.wait_output("CALLED")
        found = transcript(asking.stdout)
    assert found == expected
