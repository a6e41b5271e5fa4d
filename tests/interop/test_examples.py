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


@pytest.mark.timeout(240)
@pytest.mark.parametrize("example", ["uwsgi_flask", "uwsgi_django"])
def test_under_uwsgi(uwsgi_binary: str, tmp_path: Path, example: str) -> None:
    home = Path(uwsgi_binary).parent.parent
    package = "flask" if example == "uwsgi_flask" else "django"
    if not list(home.glob(f"lib/python3*/site-packages/{package}")):
        pytest.skip(f"the real uWSGI's environment has no {package}: `make interop` makes one that has")
    directory = moved.prepare(example, tmp_path)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ini = directory / "uwsgi.ini"  # but for the port, which may be taken
    ini.write_text(ini.read_text().replace("127.0.0.1:8000", "127.0.0.1:0"))
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [uwsgi_binary, "--home", str(home), "--ini", "uwsgi.ini"],
            cwd=directory,
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
        moved.check(example, int(found[1]), minute=True)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{log.read_text()}") from None
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
