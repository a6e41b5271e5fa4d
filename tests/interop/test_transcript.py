"""The same calls under uWSGI and under ours, and what they give compared line by line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import Launcher

HERE = Path(__file__).resolve().parent

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


@pytest.mark.parametrize(("more", "calls"), [((), 106), (("--spooler", "spool"), 20)])
def test_the_same_calls_give_the_same(
    start_uwsgi: Callable[..., Any],
    bus_env: object,
    bus_name: str,
    tmp_path: Path,
    more: tuple[str, ...],
    calls: int,
) -> None:
    shutil.copy(HERE / "calls.py", tmp_path)
    (tmp_path / "app.py").write_text(APP)
    options = (*OPTIONS, *more)
    server = start_uwsgi(*options)
    server.wait_for("CALLED")
    theirs = transcript(server.text)
    server.end()
    shutil.rmtree(tmp_path / "spool", ignore_errors=True)
    with Launcher("--bus", bus_name, "--compat", "--processes", "1", *options, cwd=tmp_path) as launcher:
        launcher.wait_output("CALLED")
        ours = transcript(launcher.stdout)
        launcher.process.terminate()
    assert len(ours) == len(theirs) > calls
    assert not [line for line in ours if line.endswith(" NameError")]
    different = [
        f"{there}\n    here {here}" for there, here in zip(theirs, ours, strict=True) if here != there
    ]
    assert not different, "\n".join(different)
