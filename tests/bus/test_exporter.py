"""--metrics and --stats: what Prometheus and uWSGI's tools read, and that nobody wakes up for it."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import parser as plain
from prometheus_client.openmetrics import parser as openmetrics

import ipcmules
from conftest import BusEnvironment
from handled import Handled
from ipcmules.bus.places import places
from ipcmules.exporter.steady import Steady
from ipcmules.snapshot import take
from support import Launcher, run_cli, wait_until

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def _address(launcher: Launcher, what: str) -> str:
    """Where something is served, as the log says."""

    def look() -> str:
        found = [each for each in launcher.stderr.splitlines() if f"serving {what} at " in each]
        return found[0].rpartition(" ")[2] if found else ""

    return wait_until(look, what=what)


def _scrape(address: str, accept: str = "") -> str:
    request = urllib.request.Request(f"http://{address}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=20) as answer:
        text: str = answer.read().decode()
        return text


def _samples(text: str, parser: object = plain) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parser.text_string_to_metric_families(text)  # type: ignore[attr-defined]
        for sample in family.samples
    }


def _number(found: Samples, name: str, **labels: str) -> float:
    [value] = [
        value for (each, had), value in found.items() if each == name and labels.items() <= dict(had).items()
    ]
    return value


def test_metrics_over_a_respawn_and_a_reload(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    handled = Handled(tmp_path, bus_name)
    options = ("--mules", "2", "--metric", "hits", "--metrics", "127.0.0.1:0", "--locks", "1")
    with handled.start(*options) as launcher:
        address = _address(launcher, "/metrics")
        for number in range(3):
            handled.call("give", number)
        handled.call("fails", "no good")
        wait_until(lambda: take(places(bus_name)).tasks.directories[0].dead, what="the dead task")
        first = _samples(_scrape(address))
        assert _number(first, "ipcmules_ready") == 1
        assert _number(first, "ipcmules_task_attempts_total", function="give", result="done") == 3
        assert _number(first, "ipcmules_task_attempts_total", function="fails", result="failed") == 2
        assert _number(first, "ipcmules_tasks_given_up_total", function="fails") == 1
        assert _number(first, "ipcmules_tasks", state="dead") == 1
        assert _number(first, "ipcmules_task_seconds_count", function="give") == 3
        assert _number(first, "ipcmules_task_seconds_bucket", function="give", le="+Inf") == 3
        assert _number(first, "ipcmules_process_messages_total", role="spooler", number="1") == 5
        assert _number(first, "ipcmules_process_up", role="mule", number="2") == 1
        assert _number(first, "ipcmules_app_value", counter="hits") == 0
        place = {"directory": str(handled.directory)}
        of_tasks = [
            _number(first, f"ipcmules_tasks_{each}_total", **place) for each in ("begun", "ended", "come")
        ]
        assert of_tasks == [5, 4, 4]
        assert _number(first, "ipcmules_queue_taken_total", queue="mule2") == 0
        assert _number(first, "ipcmules_queue_oldest_seconds", queue="pool") == 0
        # The same in OpenMetrics' text, whose parser is strict.
        open_text = _scrape(address, "application/openmetrics-text; version=1.0.0")
        assert open_text.endswith("# EOF\n")
        assert {name for name, _labels in _samples(open_text, openmetrics)} >= {name for name, _ in first}
        os.kill(take(places(bus_name)).spoolers[0].pid, signal.SIGKILL)
        wait_until(lambda: take(places(bus_name)).spoolers[0].respawns == 1, what="its successor")
        assert run_cli("reload", "--bus", bus_name).returncode == 0
        handled.call("give", 3)
        wait_until(lambda: take(places(bus_name)).spoolers[0].all_messages == 6, what="one task more")
        with ipcmules.attach(bus_name):
            assert ipcmules.mule_msg(b"without a hook", 2)
        wait_until(lambda: take(places(bus_name)).letters.dead == 1, what="the message")
        then = _samples(_scrape(address))
        assert _number(then, "ipcmules_queue_taken_total", queue="mule2") == 1
        assert _number(then, "ipcmules_queue_come_total", queue="mule2") == 1
        assert _number(then, "ipcmules_tasks_come_total", **place) == 5
        assert _number(then, "ipcmules_task_attempts_total", function="give", result="done") == 4
        assert _number(then, "ipcmules_process_restarts_total", role="spooler") == 2
        assert _number(then, "ipcmules_reloads_total") == 1
        for (name, labels), value in first.items():
            if name.endswith(("_total", "_count", "_bucket", "_sum")):
                assert then[name, labels] >= value, (name, labels)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://{address}/other", timeout=20)


def test_stats_at_several_addresses(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    options = ("--bus", bus_name, "--mules", "1", "--stats", "127.0.0.1:0", "--stats", "stats.sock")
    with Launcher(*options, cwd=tmp_path) as launcher:
        host, _colon, port = _address(launcher, "statistics").rpartition(":")
        for family, address in ((socket.AF_INET, (host, int(port))), (socket.AF_UNIX, "stats.sock")):
            with socket.socket(family) as connection:
                connection.settimeout(20)
                before = os.getcwd()
                os.chdir(tmp_path)
                try:
                    connection.connect(address)
                finally:
                    os.chdir(before)
                data = b"".join(iter(lambda: connection.recv(65536), b""))  # used at once
            found = json.loads(data)
            assert found["pid"] == launcher.pid
            assert [each["id"] for each in found["workers"]] == ["mule1"]
        assert (tmp_path / "stats.sock").stat().st_mode & 0o777 == 0o600
        # A client that says nothing holds nobody up; the exporter is started again, and its sockets stay.
        with socket.create_connection((host, int(port))):
            exporter = _children(launcher.pid, "exporter")
            os.kill(exporter, signal.SIGKILL)
            wait_until(lambda: _children(launcher.pid, "exporter") not in (0, exporter), what="its successor")
        with socket.create_connection((host, int(port)), 20) as connection:
            assert b"mule1" in b"".join(iter(lambda: connection.recv(65536), b""))
    assert not (tmp_path / "stats.sock").exists()


def test_without_a_descriptor_it_waits(bus_env: BusEnvironment, bus_name: str) -> None:
    with Launcher("--bus", bus_name, "--mules", "1", "--metrics", "127.0.0.1:0") as launcher:
        host, _colon, port = _address(launcher, "/metrics").rpartition(":")
        exporter = _children(launcher.pid, "exporter")
        _scrape(f"{host}:{port}")
        soft, hard = resource.prlimit(exporter, resource.RLIMIT_NOFILE)
        resource.prlimit(exporter, resource.RLIMIT_NOFILE, (0, hard))
        with socket.create_connection((host, int(port)), 20) as connection:
            # What cannot be accepted stays ready: who does not pause never sleeps again.
            before = _switches(exporter)
            wait_until(lambda: _switches(exporter) > before + 5, what="some pauses")
            resource.prlimit(exporter, resource.RLIMIT_NOFILE, (soft, hard))
            connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert connection.recv(20).startswith(b"HTTP/1.0 200")


def _children(pid: int, title: str) -> int:
    """The child of a process with this in its title; 0 for none."""
    for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            if title in Path(f"/proc/{each}/cmdline").read_text():
                return int(each)
        except OSError:
            continue
    return 0


def test_nobody_wakes_up(bus_env: BusEnvironment, bus_name: str) -> None:
    with Launcher("--bus", bus_name, "--mules", "1", "--metrics", "127.0.0.1:0") as launcher:
        address = _address(launcher, "/metrics")
        _scrape(address)
        exporter = _children(launcher.pid, "exporter")

        def woken() -> list[int]:
            return [_switches(pid) for pid in (launcher.pid, exporter, take(places(bus_name)).mules[0].pid)]

        def quiet() -> bool:
            before = woken()
            signal.sigtimedwait([], 1.0)
            return woken() == before

        wait_until(quiet, what="a second in which nobody woke up")


def _switches(pid: int) -> int:
    """How often a process has slept by itself: at each wake-up it does again."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("voluntary_ctxt_switches:")[2].split()[0])


def test_an_address_that_is_taken_and_a_package_that_is_missing(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "{}:{}".format(*taken.getsockname())
        for option in ("--metrics", "--stats"):
            refused = run_cli("run", "--bus", bus_name, "--mules", "1", option, address)
            assert refused.returncode == 2
            assert f"{option} {address}: Address already in use" in refused.stderr
    wrong = run_cli("run", "--bus", bus_name, "--metrics", "nowhere:port")
    assert wrong.returncode == 2 and "'nowhere:port' is no address" in wrong.stderr
    hidden = "import sys; sys.modules['prometheus_client'] = None; from ipcmules.cli.main import main; "
    program = hidden + f"main(['run', '--bus', {bus_name!r}, '--metrics', '127.0.0.1:0'])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 2 and "pip install 'ipcmules[metrics]'" in ended.stderr, ended


def test_counters_never_go_down() -> None:
    steady = Steady()
    steady.begin(1)
    assert [steady.value("a", number) for number in (3, 5, 4, 6)] == [3, 5, 5, 6]
    seen = ((7, 1.0), (7, 2.0), (8, 0.5), (9, 1.0), (9, 2.0))
    cpu = [steady.added("b", pid, number) for pid, number in seen]
    assert cpu == [1.0, 2.0, 2.5, 3.5, 4.5]
    assert [steady.up("c", number) for number in (5, 7, 3, 4)] == [5, 7, 7, 8]
    steady.begin(2)
    assert steady.up("c", 4) == 4
    assert (steady.value("a", 1), steady.added("b", 10, 0.5)) == (1, 0.5)
