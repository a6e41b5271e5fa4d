"""Counters of a bus: in all its processes, in status, and gone with it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

import ipcmules
from conftest import BusEnvironment
from ipcmules.bus.places import places
from ipcmules.compat import counting, quiet, uwsgi
from ipcmules.counters import counter as counters
from ipcmules.errors import BusStopped, ConfigError
from support import Launcher, run_cli, wait_until

MULE = """
import ipcmules

made = ipcmules.counter("made.by-mules")
while True:
    made.inc(int(ipcmules.mule_get_msg()))
"""


def test_all_processes_count(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    (tmp_path / "mule.py").write_text(MULE)
    options = ("--bus", bus_name, "--mule=mule.py", "--mule=mule.py", "--metric", "name=hits,initial_value=7")
    path = counters.path_of(places(bus_name))
    with Launcher(*options, cwd=tmp_path) as launcher, ipcmules.attach(bus_name):
        hits = ipcmules.counter("hits")
        assert hits.inc() == 8
        for mule in (1, 2):
            ipcmules.mule_msg("5", mule)
        made = ipcmules.counter("made.by-mules")
        wait_until(lambda: made.value == 10)
        found = json.loads(run_cli("status", "--bus", bus_name, "--json").stdout)
        assert found["counters"] == {"hits": 8, "made.by-mules": 10}
        assert "counters: hits 8; made.by-mules 10" in run_cli("status", "--bus", bus_name).stdout
        launcher.stop(signal.SIGKILL)
        wait_until(lambda: "dead" in run_cli("status", "--bus", bus_name).stdout)
        assert os.path.exists(path)
    with Launcher(*options, cwd=tmp_path) as launcher, ipcmules.attach(bus_name):
        assert hits.inc() == 8 == ipcmules.counter("hits").value  # the old object counts on the new bus
        launcher.stop()
        assert not os.path.exists(path)
        with pytest.raises(BusStopped, match="its counters are gone"):
            hits.inc()
        assert not os.path.exists(path)
        assert json.loads(run_cli("status", "--bus", bus_name, "--json").stdout)["counters"] == {}


def test_without_a_bus_and_without_any(bus_env: BusEnvironment) -> None:
    with pytest.raises(ipcmules.NotAttached):
        ipcmules.counter("a")
    with pytest.raises(ConfigError, match="metrics="):
        ipcmules.Bus(metrics="a")
    with ipcmules.Bus(mules=0) as bus:
        path = counters.path_of(places(bus.name))
        assert not os.path.exists(path)
        assert ipcmules.counter("a", 3).inc() == 4 and os.path.exists(path)
        # uWSGI's calls are silent where nothing asks for metrics.
        quiet._said.clear()
        assert [call("a") for call in counting.CALLS.values()] == [0, *[None] * 7]
    assert not os.path.exists(path)


def test_uwsgis_calls(bus_env: BusEnvironment) -> None:
    with ipcmules.Bus(mules=0, metrics=["a", "name=b,initial_value=10"]):
        assert uwsgi.metric_get("a") == 0 and uwsgi.metric_get("b") == 10 and uwsgi.metric_get("nobody") == 0
        assert uwsgi.metric_inc("a") is uwsgi.metric_inc("a", 5) is uwsgi.metric_mul("a", 7) is True
        assert uwsgi.metric_get("a") == 42 and uwsgi.metric_inc("nobody") is None
        assert (
            uwsgi.metric_div("a", 0) is None
            and uwsgi.metric_div("a", -4) is True
            and uwsgi.metric_get("a") == -10
        )
        assert uwsgi.metric_set_min("b", 5) is True and uwsgi.metric_get("b") == 10
        assert uwsgi.metric_set_max("b", 20) is uwsgi.metric_set_min("b", 15) is True
        assert uwsgi.metric_get("b") == 15 == ipcmules.counter("b").value
        for wrong in ((b"a",), ("a", "1"), ("a", 1.5), ()):
            with pytest.raises(TypeError):
                uwsgi.metric_inc(*wrong)
        with pytest.raises(OverflowError):
            uwsgi.metric_inc("a", 2**63)
