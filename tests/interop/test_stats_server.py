"""--stats beside uWSGI's stats server: the same keys, and the real programs that read it, unmodified."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest

import ipcmules
from conftest import BusEnvironment
from ipcmules.bus.places import places
from ipcmules.snapshot import take
from support import Launcher, wait_until
from terminal import Terminal

Start = Callable[..., Any]

OPTIONS = """
[uwsgi]
master = true
mules = 2
farm = f:1,2
locks = 2
spooler = spool
cache2 = name=c,items=10
cron = 0 1 1 1 1 true
stats = stats.sock
"""


def _read(path: Path) -> dict[str, Any] | None:
    before = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(path.name)
            found: dict[str, Any] = json.loads(b"".join(iter(lambda: connection.recv(65536), b"")))
            return found
    except OSError:
        return None
    finally:
        os.chdir(before)


def _shape(value: Any) -> Any:
    """The keys of it, of lists of the first element; types but that of an id, which we may have as a text."""
    if isinstance(value, dict):
        return {key: "id" if key == "id" else _shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_shape(each) for each in value[:1]]
    return type(value).__name__


def test_the_keys_are_uwsgi_s(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path, start_uwsgi: Start
) -> None:
    ours_at = tmp_path / "ours"
    for each in (tmp_path, ours_at):
        each.mkdir(exist_ok=True)
        (each / "bus.ini").write_text(OPTIONS)
        (each / "spool").mkdir()
    start_uwsgi("--ini", "bus.ini")
    theirs = wait_until(lambda: _read(tmp_path / "stats.sock"), what="uWSGI's statistics")
    with Launcher("--bus", bus_name, "--ini", "bus.ini", cwd=ours_at):
        ours = wait_until(lambda: _read(ours_at / "stats.sock"), what="ours")
    assert set(theirs) - set(ours) == set()
    for key, value in theirs.items():
        if key == "locks":  # each is its own key
            assert {"user 0", "user 1", "user 2"} <= {name for each in ours[key] for name in each}
        elif key != "sockets":  # those of a web server
            assert _shape(ours[key]) == _shape(value), key
    assert [each["command"] for each in ours["crons"]] == ["true"]
    assert (ours["crons"][0]["minute"], ours["crons"][0]["hour"]) == (0, 1)


def test_uwsgitop(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("uwsgitop")
    if not program.exists():
        pytest.skip("there is no uwsgitop: `make interop` installs it")
    with (
        Launcher("--bus", bus_name, "--mules", "2", "--stats", "stats.sock", cwd=tmp_path),
        Terminal(str(program), str(tmp_path / "stats.sock")) as top,
    ):
        top.shows(lambda text: "mule2" in text and "idle" in text and "uwsgi-0." in text, "the mules")
        top.press("q")
        assert top.close() == 0


def test_uwsgi_exporter(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    path = Path(sys.executable).with_name("uwsgi_exporter.py")
    if not path.exists():
        pytest.skip("there is no uwsgi-exporter: `make interop` installs it")
    options = ("--bus", bus_name, "--mules", "2", "--stats", "stats.sock", "--stats-http")
    with Launcher(*options, cwd=tmp_path) as launcher:
        spec = importlib.util.spec_from_file_location("uwsgi_exporter", path)
        assert spec is not None and spec.loader is not None
        exporter = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(exporter)
        address = f"http+unix://{quote_plus(str(tmp_path / 'stats.sock'))}"
        families = {each.name: each for each in exporter.build_prometheus_stats(address)}
        workers = {each.labels["worker"] for each in families["uwsgi_workers_requests"].samples}
        assert workers == {"mule1", "mule2"}
        assert launcher.process.poll() is None


def test_uwsgi_prometheus(bus_env: BusEnvironment, bus_name: str) -> None:
    collectors = pytest.importorskip("uwsgi_prometheus.collectors", reason="`make interop` installs it")
    with Launcher("--bus", bus_name, "--mules", "1", "--stats", "127.0.0.1:0", "--stats-http") as launcher:
        with ipcmules.attach(bus_name):
            assert ipcmules.mule_msg(b"without a hook", 1)
        wait_until(lambda: take(places(bus_name)).mules[0].messages == 1, what="the message")
        collector = collectors.UWSGIStatsCollector(f"http://{_address(launcher)}")
        values = {each.name: each.samples[0].value for each in collector.collect()}
        assert values == {"uwsgi_listen_queue_requests": 0, "uwsgi_requests": 1, "uwsgi_harakiris": 0}


def test_the_check_of_datadog(
    bus_env: BusEnvironment, bus_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = pytest.importorskip("datadog_checks.uwsgi_stats", reason="`make interop` installs it")
    told: list[tuple[Any, ...]] = []
    with Launcher("--bus", bus_name, "--mules", "2", "--stats", "127.0.0.1:0") as launcher:
        url = f"tcp://{_address(launcher)}"
        agent = check.UwsgiStatsCheck("uwsgi_stats", {}, [{"stats_url": url}])
        for kind in ("gauge", "rate", "monotonic_count", "service_check"):
            monkeypatch.setattr(agent, kind, lambda name, value, *_more, **_tags: told.append((name, value)))
        agent.check(agent.instance)
    assert ("can_connect", 0) in told and ("workers.total", 2) in told
    assert {name for name, _value in told} >= {"worker.requests", "worker.rss", "signal_queue"}


def _address(launcher: Launcher) -> str:
    def look() -> str:
        found = [each for each in launcher.stderr.splitlines() if "serving statistics at " in each]
        return found[0].rpartition(" ")[2] if found else ""

    return wait_until(look, what="the stats server")
