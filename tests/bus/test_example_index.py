"""The demo, as `make demo` runs it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "index"


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_the_demo_indexes_the_standard_library_and_checks_itself(bus_env: object) -> None:
    done = subprocess.run(
        [sys.executable, "demo.py"], cwd=EXAMPLE, capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"│ +(\d|all) +│ +([\d,]+) │ +([\d,]+) │ +([\d,]+) │ +([\d,]+) │ +(\d+)%", done.stdout)
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "all"], done.stdout
    for column in range(1, 5):
        assert sum(number(row[column]) for row in rows[:-1]) == number(rows[-1][column])
    files, lines = number(rows[-1][1]), number(rows[-1][2])
    assert files > 1000 and number(rows[-1][3]) > 10_000
    assert (
        f"check: {files:,} files and {lines:,} lines counted directly in one process: the same" in done.stdout
    )
    # No terminal here: plain lines, the last of which is the end.
    assert done.stderr.count(f" of {files} files") >= 3
    assert f"indexed {files} of {files} files" in done.stderr


def copy(directory: Path, package: str) -> None:
    """The example, with one package of the library to index instead of all."""
    for path in EXAMPLE.glob("*.py"):
        (directory / path.name).write_text(path.read_text())
    index = directory / "index.py"
    index.write_text(index.read_text().replace('get_path("stdlib"))', f'get_path("stdlib"), "{package}")'))


def test_on_a_terminal_there_is_a_bar(bus_env: object, tmp_path: Path) -> None:
    copy(tmp_path, "asyncio")
    terminal, end = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "demo.py"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=end,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
        os.close(end)
        shown = b""
        while True:
            try:
                shown += os.read(terminal, 65536)
            except OSError:  # EIO: everybody has closed the other end
                break
        os.close(terminal)
    assert process.returncode == 0, shown
    assert b"indexing" in shown and b"100%" in shown
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l"), "the cursor was not given back"


def test_a_wrong_result_is_noticed(bus_env: object, tmp_path: Path) -> None:
    """The check is one: an indexer that loses a line makes the demo fail."""
    copy(tmp_path, "json")
    indexer = tmp_path / "indexer.py"
    indexer.write_text(indexer.read_text().replace("    lines = len(source.splitlines())", "    lines = 1"))
    done = subprocess.run(
        [sys.executable, "demo.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "NOT the same" in done.stdout
