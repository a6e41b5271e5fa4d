"""The examples that were written for uWSGI, under ipcmules and gunicorn, with their own uwsgi.ini."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

import moved
from support import Launcher, run_cli, wait_until

pytestmark = pytest.mark.slow

EXAMPLES = [("uwsgi_flask", "shop:app"), ("uwsgi_django", "shop.wsgi:application")]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("configuration", [("--compat", "--ini", "uwsgi.ini"), ("--config", "ipcmules.toml")])
@pytest.mark.parametrize(("example", "application"), EXAMPLES)
def test_moved_over(
    bus_env: object,
    bus_name: str,
    tmp_path: Path,
    example: str,
    application: str,
    configuration: tuple[str, ...],
) -> None:
    directory = moved.prepare(example, tmp_path)
    gunicorn = [sys.executable, "-m", "gunicorn", "-w", "2", "-b", "127.0.0.1:0", application]
    with Launcher("--bus", bus_name, *configuration, command=gunicorn, cwd=directory) as launcher:
        found = wait_until(lambda: re.search(r"Listening at: http://127.0.0.1:(\d+)", launcher.stderr), 30)
        try:
            moved.check(example, int(found[1]), minute="--compat" in configuration)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{launcher.output()}") from None
    assert launcher.code == 0, launcher.output()
    assert "Traceback" not in launcher.stderr


@pytest.mark.parametrize(("example", "application"), EXAMPLES)
def test_the_toml_file_is_what_migrate_writes(
    monkeypatch: pytest.MonkeyPatch, example: str, application: str
) -> None:
    monkeypatch.chdir(moved.EXAMPLES / example)
    done = run_cli("migrate", "uwsgi.ini", "-o", "-")
    assert done.returncode == 0, done
    assert done.stdout == (moved.EXAMPLES / example / "ipcmules.toml").read_text()
    assert f"gunicorn --bind 127.0.0.1:8000 --workers 2 --access-logfile - {application}" in done.stderr


def test_uwsgi_tasks(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    environment = {**os.environ, "SAID": str(tmp_path / "said"), "PYTHONWARNINGS": "ignore"}
    options = ("--bus", bus_name, "--compat", "--mules", "1", "--import", "jobs")
    with Launcher(
        *options,
        *("--spooler", str(tmp_path / "spool")),
        command=[sys.executable, "use.py"],
        cwd=moved.EXAMPLES / "uwsgi_tasks",
        env=environment,
    ) as launcher:
        assert launcher.wait(60) == 0, launcher.output()
    said = launcher.stdout.splitlines()
    for line in (
        "thumbnail of a.jpg in size 64 by mule 1",
        "delivered to someone@example.org at attempt 3",
        "price of 12 computed at once",
        "tick",
    ):
        assert line in said, launcher.output()
