"""Web workers are workers: under real gunicorn, granian and uvicorn, before and after a reload."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from ipcmules import snapshot
from ipcmules.bus.places import places
from support import Launcher, run_cli, wait_until
from webservers import SERVERS, Site, site

pytestmark = pytest.mark.slow

#: They load no new code by a signal.
RESTARTED = ("gunicorn-preload", "uvicorn")


def count(server: str) -> int:
    return 1 if server == "uvicorn" else 2


def serving(bus_name: str) -> set[int]:
    """The pids of the workers that the bus knows."""
    return {each.pid for each in snapshot.take(places(bus_name), details=False).workers if each.pid}


def check_workers(found: Site, workers: dict[int, int]) -> None:
    """Each has loaded the tasks, then the application, and run its hooks once, in this order, as in uWSGI."""
    assert set(workers) == set(range(1, len(workers) + 1))
    preloads = "--preload" in found.launcher.arguments
    loads = [] if preloads else ["tasks", "shop"]
    for number, pid in workers.items():
        noted = [
            each for each in found.notes("tasks", "shop", "postfork", "postfork1", "hook") if each.pid == pid
        ]
        first = ["postfork1"] if number == 1 else []
        assert [each.what for each in noted] == [*loads, "postfork", *first, "hook"]
        # As in uWSGI nobody has a number while the application is loaded.
        assert [each.worker for each in noted] == [0] * len(loads) + [number] * (len(noted) - len(loads))


@pytest.mark.parametrize("server", SERVERS)
def test_web_workers_are_workers_and_a_reload_reaches_them(
    bus_env: object, bus_name: str, tmp_path: Path, server: str
) -> None:
    with site(tmp_path, bus_name, server) as found:
        workers = found.workers(count(server))
        check_workers(found, workers)
        # Not in the server's parent, nor in the template.
        parents = {each.parent for each in found.notes("hook") if not each.mule}
        assert not parents & {each.pid for each in found.notes("postfork", "hook", "postfork1")}
        version, pid, number, numbers = found.ask()
        assert (version, workers[number], numbers) == (1, pid, sorted(workers))

        # What was registered where worker_id() is 0, and what `import = tasks` registered.
        wait_until(lambda: found.notes("ninetynine"), what="the timer of the application")
        assert run_cli("signal", "--bus", bus_name, "7").returncode == 0
        wait_until(lambda: {each.pid for each in found.notes("everybody")} == {*workers.values()}, what="all")
        assert run_cli("signal", "--bus", bus_name, "8").returncode == 0
        wait_until(lambda: found.notes("somebody"), what="one of them")
        assert {each.worker for each in found.notes("somebody", "ninetynine")} <= set(workers)

        (tmp_path / "shop.py").write_text(
            (tmp_path / "shop.py").read_text().replace("VERSION = 1", "VERSION = 2")
        )
        reloaded = run_cli("reload", "--bus", bus_name)
        assert reloaded.returncode == 0, reloaded.stderr + found.launcher.output()
        after = found.workers(count(server), set(workers.values()))
        check_workers(found, after)
        wait_until(lambda: found.ask()[0] == 2, what="the new code")
        wait_until(lambda: serving(bus_name) == {*after.values()}, what="the end of the old ones")
        assert run_cli("signal", "--bus", bus_name, "7").returncode == 0
        wait_until(
            lambda: {each.pid for each in found.notes("everybody")} >= {*after.values()}, what="all new ones"
        )
        said = found.launcher.stderr
        told = "ended and started again" if server in RESTARTED else "was sent SIGHUP"
        assert 0 < said.index("was replaced by a reload") < said.index(told), "mules first"
    assert found.launcher.code in (0, -signal.SIGTERM, 128 + signal.SIGTERM), found.launcher.output()


def test_a_recycled_worker_runs_its_hooks_again(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    with site(tmp_path, bus_name, "gunicorn", GUNICORN_CMD_ARGS="--max-requests 1") as found:
        before = found.workers(2)
        seen = {found.ask()[1] for _ in range(3)}
        after = found.workers(2, {pid for pid in before.values() if pid in seen})
        assert set(after) == {1, 2}
        wait_until(lambda: found.ask()[2] in (1, 2), what="an answer of a recycled worker")


def test_lazy_apps_have_a_number_while_they_load(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    with site(tmp_path, bus_name, "gunicorn", "--lazy-apps") as found:
        workers = found.workers(2)
        loads = {each.pid: each.worker for each in found.notes("tasks") if not each.mule}
        assert {number: loads[pid] for number, pid in workers.items()} == {1: 1, 2: 2}


def test_a_server_may_be_told_not_to_serve(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    with site(tmp_path, bus_name, "gunicorn", IPCMULES_SERVE="0") as found:
        _version, _pid, number, numbers = found.ask()
        assert (number, numbers) == (0, [])
        assert not [each for each in found.notes("hook") if not each.mule]


def test_a_part_that_cannot_be_loaded_does_not_keep_a_server_from_serving(
    bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    (tmp_path / "odd.py").write_text(
        "import sys\nif 'gunicorn.arbiter' in sys.modules: raise OSError('odd')\n"
    )
    with site(tmp_path, bus_name, "gunicorn", "--import", "odd") as found:
        assert found.ask()[2] in (1, 2)
        assert "--import odd could not be loaded" in found.launcher.stderr


def test_the_sitecustomize_of_others_runs_too(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('theirs', __file__, flush=True)\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", "import sitecustomize; print(sitecustomize.__file__)"]
    with Launcher("--bus", bus_name, command=command, env=environment) as launcher:
        assert launcher.wait() == 0
    theirs = str(tmp_path / "sitecustomize.py")
    assert f"theirs {theirs}\n{theirs}\n" in launcher.stdout
