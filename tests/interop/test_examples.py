"""The moved-over examples under uWSGI itself: the same code, the same ini file, the same requests."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

import moved
from support import wait_until


@pytest.mark.parametrize("example", ["uwsgi_flask", "uwsgi_django"])
def test_under_uwsgi(uwsgi_binary: str, tmp_path: Path, example: str) -> None:
    home = Path(uwsgi_binary).parent.parent
    package = "flask" if example == "uwsgi_flask" else "django"
    if not list(home.glob(f"lib/python3*/site-packages/{package}")):
        pytest.skip(f"the real uWSGI's environment has no {package}: `make interop` makes one that has")
    environment = moved.prepare(example, tmp_path)
    environment.pop("PYTHONPATH", None)
    log = tmp_path / "log"
    # Of the last http-socket only: the port of the file may be taken.
    with log.open("wb") as out:
        process = subprocess.Popen(
            [uwsgi_binary, "--home", str(home), "--http-socket", "127.0.0.1:0", "--ini", "uwsgi.ini"],
            cwd=moved.EXAMPLES / example,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        found = wait_until(
            lambda: re.search(r"bound to TCP address 127.0.0.1:(\d+) \(port auto", log.read_text())
        )
        wait_until(lambda: "spawned uWSGI worker 2" in log.read_text())
        moved.check(example, int(found[1]))
    except AssertionError as error:
        raise AssertionError(f"{error}\n{log.read_text()}") from None
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
