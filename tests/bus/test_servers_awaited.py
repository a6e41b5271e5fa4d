"""What is raised for a web worker that its server is about to start again is its successor's, as in uWSGI."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ipcmules.kernel import processes
from ipcmules.signals.awaited import MOST
from support import run_cli, wait_until
from webservers import SHOP, site

#: Does not load while there is a file, and has a handler of worker 1 alone.
WAITING = SHOP.replace(
    "VERSION = 1",
    """VERSION = 1
import time
while os.path.exists("hold"):
    time.sleep(0.02)
uwsgi.register_signal(11, "worker1", lambda number: note("one"))
""",
)


def killed(_bus: str, *pids: int) -> None:
    for each in pids:
        os.kill(each, signal.SIGKILL)
    wait_until(lambda: not any(map(processes.start_time, pids)), 30, "the end of workers")


def reloaded(bus: str, *pids: int) -> None:
    assert run_cli("reload", "--bus", bus).returncode == 0
    wait_until(lambda: not any(map(processes.start_time, pids)), 30, "the end of workers")


@pytest.mark.parametrize(
    ("server", "end", "environment"),
    [
        ("gunicorn", killed, {}),
        ("granian", killed, {"GRANIAN_RESPAWN_FAILED_WORKERS": "true"}),
        ("uvicorn-workers", killed, {}),
        ("uvicorn", reloaded, {}),
    ],
)
def test_what_is_raised_meanwhile_is_its_successors(
    bus_env: object,
    bus_name: str,
    tmp_path: Path,
    server: str,
    end: Callable[..., None],
    environment: dict[str, str],
) -> None:
    with site(tmp_path, bus_name, server, source=WAITING, **environment) as found:
        before = found.workers(1 if server == "uvicorn" else 2)
        (tmp_path / "hold").touch()
        end(bus_name, before[1])
        for number in ("11", "7", "11"):
            assert run_cli("signal", "--bus", bus_name, number).returncode == 0
        (tmp_path / "hold").unlink()

        def handled() -> bool:
            noted = [each for each in found.notes("one", "everybody") if each.pid != before[1]]
            what = [each.what for each in noted if each.worker == 1]
            return sorted(what) == ["everybody", "one", "one"]

        wait_until(handled, 30, f"the signals in the new worker 1\n{found.launcher.stderr}")
        assert "dropped" not in found.launcher.stderr


def test_a_server_without_a_worker_keeps_what_is_for_any(
    bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    with site(tmp_path, bus_name, "gunicorn", source=WAITING) as found:
        before = found.workers(2)
        (tmp_path / "hold").touch()
        killed(bus_name, *before.values())
        assert run_cli("signal", "--bus", bus_name, "8").returncode == 0
        (tmp_path / "hold").unlink()
        noted = wait_until(lambda: found.notes("somebody"), 30, "the signal in a new worker")
        assert [each.mule for each in noted] == [0]
        assert noted[0].pid not in before.values()


def test_no_more_wait_than_may(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    raises = f"import ipcmules\nfor _ in range({MOST + 44}): ipcmules.signal(11)"
    with site(tmp_path, bus_name, "gunicorn", source=WAITING) as found:
        before = found.workers(2)
        (tmp_path / "hold").touch()
        killed(bus_name, before[1])
        environment = {**os.environ, "IPCMULES_BUS": bus_name}
        raised = subprocess.run(
            [sys.executable, "-c", raises], env=environment, capture_output=True, text=True, check=True
        )
        assert f"{MOST} of it wait already for worker 1 to be started again" in raised.stderr
        (tmp_path / "hold").unlink()
        wait_until(lambda: len(found.notes("one")) == MOST, 30, "those that wait")


def test_who_is_no_web_worker_does_not_take_its_number(
    bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    joins = "import ipcmules\nipcmules.register_signal(5, 'workers', print)\nprint(ipcmules.worker_id())"
    with site(tmp_path, bus_name, "gunicorn", source=WAITING) as found:
        before = found.workers(2)
        (tmp_path / "hold").touch()
        killed(bus_name, before[1])
        environment = {**os.environ, "IPCMULES_BUS": bus_name}
        joined = subprocess.run(
            [sys.executable, "-c", joins], env=environment, capture_output=True, text=True, check=True
        )
        assert joined.stdout == "3\n"
        (tmp_path / "hold").unlink()
        assert set(found.workers(2, {before[1]})) == {1, 2}


def test_granian_stops_while_a_worker_loads_the_application(
    bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    """By itself it loses the stop, and waits for that worker for ever."""
    more = {"GRANIAN_RESPAWN_FAILED_WORKERS": "true"}
    with site(tmp_path, bus_name, "granian", source=WAITING, **more) as found:
        before = found.workers(2)
        parent = next(each.parent for each in found.notes("hook") if each.pid == before[1])
        (tmp_path / "hold").touch()
        killed(bus_name, before[1])

        def loading() -> set[int]:
            # The template and mules have loaded them too, but they are no children of the server's.
            loaded = {each.pid for each in found.notes("tasks") if each.parent == parent}
            return loaded - {*before.values()}

        wait_until(loading, 30, "the next worker")
        found.launcher.stop()
