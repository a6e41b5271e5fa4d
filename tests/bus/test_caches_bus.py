"""Caches of a bus: for all its processes, from its start to its end, and what a kill leaves of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ipcmules
from conftest import BusEnvironment
from ipcmules.bus.places import places
from ipcmules.caches import control
from ipcmules.errors import BusStopped, CacheError
from support import Launcher, run_cli, wait_until

MULE = """
import ipcmules

found = ipcmules.cache("a")
while True:
    message = ipcmules.mule_get_msg()
    found[message] = ipcmules.mule_id()
"""


def files(bus: str) -> list[str]:
    prefix = places(bus).kernel.lstrip("/")
    return sorted(each for each in os.listdir("/dev/shm") if each.startswith(f"{prefix}c."))


def test_all_processes_have_it(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    (tmp_path / "mule.py").write_text(MULE)
    # Opened in the template, too, from which mules are forked.
    (tmp_path / "app.py").write_text("import ipcmules\nipcmules.cache('a')['app'] = 'loaded'\n")
    store = tmp_path / "b.mdb"
    options = ("--mule=mule.py", "--mule=mule.py", "--import=app.py", "--cache", "name=a,items=10,size=1M")
    options = (*options, "--cache2", "name=b,items=10,store=b.mdb")
    with Launcher("--bus", bus_name, *options, cwd=tmp_path) as launcher, ipcmules.attach(bus_name):
        found, kept = ipcmules.cache("a"), ipcmules.cache("b")
        assert found["app"] == b"loaded"
        for number in (1, 2):
            ipcmules.mule_msg(f"m{number}", number)
            assert wait_until(lambda key=f"m{number}": found.get(key)) == number
        kept["k"] = "v"
        assert len(files(bus_name)) == 3 and store.exists()
        with pytest.raises(CacheError, match=r"unknown cache 'default'.* has 'a', 'b'"):
            ipcmules.cache()
        second = run_cli("run", "--bus", f"{bus_name}-2", "--cache", f"name=x,store={store}")
        assert second.returncode and "belongs to a bus that runs" in second.stderr
        found.set("soon", "v", 0.1)
        wait_until(lambda: found._environment.opened().stat()["entries"] == 3, what="the master's sweep")
        launcher.stop()
        assert files(bus_name) == [] and store.exists()
        with pytest.raises(BusStopped, match="its bus has stopped"):
            found["x"] = "y"
    with Launcher("--bus", bus_name, *options, cwd=tmp_path) as launcher, ipcmules.attach(bus_name):
        launcher.wait_log("1 entries")
        assert kept["k"] == b"v" == ipcmules.cache("b")["k"]
        assert found.get("m1") is None and found["app"] == b"loaded"  # the one that was opened before


def test_a_killed_master_leaves_nothing_that_stays(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    options = ("--bus", bus_name, "--cache", "name=a", "--cache", f"name=b,size=1M,store={tmp_path}/b.mdb")
    for how in ("clean", "start"):
        with Launcher(*options, cwd=tmp_path) as launcher:
            with ipcmules.attach(bus_name):
                old = ipcmules.cache("a")
                old["k"] = ipcmules.cache("b")["k"] = how
            launcher.stop(signal.SIGKILL)
        wait_until(lambda: not run_cli("status", "--bus", bus_name).stdout.count("ready"))
        assert len(files(bus_name)) == 3
        if how == "clean":
            assert f"c.a.mdb (bus {bus_name})" in run_cli("clean").stdout
            assert files(bus_name) == [] and old._cells[control.C_OVER] == 1
    with Launcher(*options, cwd=tmp_path), ipcmules.attach(bus_name):
        assert ipcmules.cache("a").get("k") is None and old.get("k") is None
        assert ipcmules.cache("b")["k"] == b"start"
    assert files(bus_name) == []


def test_bus_takes_them_and_names_what_is_wrong(bus_env: object, tmp_path: Path) -> None:
    with ipcmules.Bus(caches=["name=a,size=1M", "name=b,size=1M,expires=100"], mules=0):
        ipcmules.cache("b")["k"] = "v"
        assert ipcmules.cache("b").expires("k") and ipcmules.cache("a").get("k") is None
    for wrong, says in (("name=a", "give a list"), (["name=a", "name=a"], "two caches"), ([5], "caches=")):
        with pytest.raises(ipcmules.ConfigError, match=says):
            ipcmules.Bus(caches=wrong)  # type: ignore[arg-type]
    with pytest.raises(ipcmules.AccessError, match="does not exist"):
        ipcmules.Bus(caches=[f"name=a,store={tmp_path}/none/x"], mules=0).start()


def test_without_lmdb_the_extra_is_named(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    (tmp_path / "lmdb.py").write_text("raise ModuleNotFoundError('lmdb')\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), *sys.path[1:]))}
    done = subprocess.run(
        [sys.executable, "-m", "ipcmules", "run", "--bus", bus_name, "--cache", "name=a"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode and "pip install 'ipcmules[cache]'" in done.stderr
    assert "Traceback" not in done.stderr and files(bus_name) == []
