"""The mail example: a real SMTP server, spoolers that are killed, and every mail."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

pytest.importorskip("aiosmtpd")

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "mail"


def demo(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "demo.py", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=200,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_every_mail_arrives_though_the_spoolers_are_killed(bus_env: object) -> None:
    done = demo(EXAMPLE, "150", "4")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"killed spooler process \d+", done.stdout)) == 4
    found = re.search(r"150 of 150 mails arrived, (\d+) twice, with 4 kills", done.stdout)
    assert found and int(found[1]) <= 4, done.stdout
    refused = re.search(r"(\d+) were refused at first; tasks left: 0", done.stdout)
    assert refused and int(refused[1]) >= 15


def test_a_mail_that_is_lost_is_noticed(bus_env: object, tmp_path: Path) -> None:
    """The check is one: a sender that drops mails makes the demo fail."""
    for path in EXAMPLE.glob("*.py"):
        shutil.copy(path, tmp_path)
    mails = tmp_path / "mails.py"
    mails.write_text(
        mails.read_text().replace("    with smtplib", "    if order == 7:\n        return\n    with smtplib")
    )
    program = tmp_path / "demo.py"
    program.write_text(program.read_text().replace("seconds=120", "seconds=10"))
    done = demo(tmp_path, "20", "1")
    assert done.returncode == 1 and "not within 10 s" in done.stderr, done.stdout + done.stderr
