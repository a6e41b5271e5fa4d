"""The same calls under uWSGI and under ours, and what they give compared line by line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support import Launcher

HERE = Path(__file__).resolve().parent

#: What differs on purpose: docs/uwsgi.md and docs/reference.md say each.
DIFFERENT = {
    'uwsgi.farm_msg("nobody", b"x")': "None there and here; logged",
}

APP = """
import uwsgi
uwsgi.register_signal(17, "worker", lambda number: None)
"""

OPTIONS = (
    "--mule=calls.py",
    "--farm",
    "f:1",
    "--locks",
    "3",
    "--set",
    "k=v",
    "--set",
    "l=x=y",
    "--import",
    "app.py",
)


def transcript(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("CALL ")]


def test_the_same_calls_give_the_same(
    start_uwsgi: Callable[..., Any], bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    shutil.copy(HERE / "calls.py", tmp_path)
    (tmp_path / "app.py").write_text(APP)
    server = start_uwsgi(*OPTIONS)
    server.wait_for("CALLED")
    theirs = transcript(server.text)
    with Launcher("--bus", bus_name, "--compat", "--processes", "1", *OPTIONS, cwd=tmp_path) as launcher:
        launcher.wait_output("CALLED")
        ours = transcript(launcher.stdout)
        launcher.process.terminate()
    assert len(ours) == len(theirs) > 70
    assert [pair for pair in zip(theirs, ours, strict=True) if pair[0] != pair[1]] == []
