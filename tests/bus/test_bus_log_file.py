"""--log-file and --log-level, the fields of events, and an error tracker that hears of exceptions."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import ipcmules
import scripts
from conftest import BusEnvironment
from support import Launcher, run_cli, wait_until

APP = """
import ipcmules

def handler(number):
    print("printed by the app", flush=True)
    raise ValueError("from the handler")

ipcmules.register_signal(7, "mule1", handler)
"""

SENTRY = """
import os
import sentry_sdk
sentry_sdk.init(dsn=os.environ["SINK"], transport_queue_size=10)
"""


def test_a_file_that_is_moved_away(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    scripts.write(tmp_path, "app.py", APP)
    log = tmp_path / "bus.log"
    options = ("--bus", bus_name, "--mules", "1", "--import", "app", "--log-file", "bus.log")
    with Launcher(*options, ready=False, cwd=tmp_path) as launcher, _attached(bus_name):
        wait_until(lambda: log.exists() and " ready: " in log.read_text(), what="the ready line")
        ipcmules.signal(7)
        wait_until(lambda: "from the handler" in log.read_text(), what="the traceback")
        assert "printed by the app" in log.read_text()
        line = next(each for each in log.read_text().splitlines() if "raised:" in each)
        assert re.match(rf"[\d-]+ [\d:.]+\+00:00 error \[{bus_name} mule 1\] the handler of signal 7, ", line)
        log.rename(tmp_path / "old.log")
        launcher.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: log.exists() and f"bus {bus_name}: ready" in log.read_text(), what="the status")

        # The mule looks at most once a second.
        def again() -> bool:
            ipcmules.signal(7)
            return "from the handler" in log.read_text()

        wait_until(again, every=0.1, what="the mule's own line in the new file")
    assert (launcher.code, launcher.stderr) == (0, "")
    moment = re.compile(r"[\d-]+ [\d:.]+[+-]\d\d:\d\d (info|warning|error) \[\S+ (master|mule 1)\] ")
    ready = next(each for each in (tmp_path / "old.log").read_text().splitlines() if " ready: " in each)
    assert moment.match(ready)


QUIET = """
import ipcmules
while True:
    print("got", ipcmules.mule_get_msg(), flush=True)
"""


def test_what_an_app_prints_goes_to_the_new_file(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    scripts.write(tmp_path, "quiet.py", QUIET)
    log = tmp_path / "bus.log"
    options = ("--bus", bus_name, "--mule=quiet.py", "--log-file", "bus.log")
    with Launcher(*options, ready=False, cwd=tmp_path), _attached(bus_name):
        ipcmules.mule_msg(b"before", 1)
        wait_until(lambda: "got b'before'" in log.read_text(), what="the first message")
        log.rename(tmp_path / "old.log")

        # The mule logs nothing itself, and looks at most once a second.
        def again() -> bool:
            ipcmules.mule_msg(b"after", 1)
            return log.exists() and "got b'after'" in log.read_text()

        wait_until(again, every=0.1, what="the mule's print in the new file")


def _attached(bus_name: str) -> Any:
    def attach() -> Any:
        try:
            return ipcmules.attach(bus_name)
        except ipcmules.NotAttached:
            return None

    return wait_until(attach, what="the bus")


def test_what_is_refused(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    refused = run_cli("run", "--bus", bus_name, "--log-file", "/nowhere/bus.log")
    assert refused.returncode == 2 and "--log-file /nowhere/bus.log: No such file" in refused.stderr
    assert refused.stderr.count("No such file") == 1
    log = tmp_path / "bus.log"
    refused = run_cli("run", "--bus", bus_name, "--mules", "1", "--import", "nowhere", "--log-file", str(log))
    assert refused.returncode == 1 and "No module named 'nowhere'" in refused.stderr
    assert "No module named 'nowhere'" in log.read_text()
    refused = run_cli("run", "--bus", bus_name, "--log-level", "loud")
    assert refused.returncode == 2 and "'loud' is no level: give one of debug, info" in refused.stderr


def test_levels_and_fields(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    scripts.write(tmp_path, "app.py", APP)
    options = ("--bus", bus_name, "--mules", "1", "--import", "app", "--log-format", "json")
    levels = ("--log-level", "warning", "--log-level", "mule=critical")
    with Launcher(*options, *levels, ready=False, cwd=tmp_path) as launcher, _attached(bus_name) as bus:
        bus.signal(7)
        wait_until(lambda: bus.status().mules[0].exceptions == 1, what="the exception")
        os.kill(bus.status().mules[0].pid, signal.SIGKILL)
        wait_until(lambda: "SIGKILL" in launcher.stderr, what="its death")
    found = [json.loads(line) for line in launcher.stderr.splitlines()]
    assert {each["level"] for each in found} == {"warning"} and {each["role"] for each in found} == {"master"}
    [death] = [each for each in found if "SIGKILL" in each["message"]]
    assert death["mule"] == 1
    with Launcher(*options, ready=False, cwd=tmp_path) as launcher, _attached(bus_name) as bus:
        bus.signal(7)
        wait_until(lambda: "from the handler" in launcher.stderr, what="the traceback")
    found = [json.loads(line) for line in launcher.stderr.splitlines() if line.startswith("{")]
    [error] = [each for each in found if each["level"] == "error"]
    assert (error["signal"], error["function"], error["number"]) == (7, "handler", 1)
    assert 0 <= error["duration"] < 60


@pytest.fixture
def sink() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Where sentry-sdk sends to, and the events that came."""
    events: list[dict[str, Any]] = []

    class Sink(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                data = gzip.decompress(data)
            events.extend(json.loads(each) for each in data.splitlines() if each.startswith(b"{"))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_given: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Sink)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://key@127.0.0.1:{server.server_port}/1", events
    server.shutdown()
    thread.join()
    server.server_close()


def test_sentry_hears_of_exceptions(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path, sink: tuple[str, list[dict[str, Any]]]
) -> None:
    address, events = sink
    scripts.write(tmp_path, "app.py", SENTRY + APP)
    options = ("--bus", bus_name, "--mules", "1", "--import", "app")
    environment = {**os.environ, "SINK": address}
    with Launcher(*options, cwd=tmp_path, env=environment), ipcmules.attach(bus_name):
        ipcmules.signal(7)
        event = wait_until(lambda: next((each for each in events if "exception" in each), None), what="it")
    [exception] = event["exception"]["values"]
    assert (exception["type"], exception["value"]) == ("ValueError", "from the handler")
    assert exception["stacktrace"]["frames"][-1]["function"] == "handler"
    assert event["logger"] == "ipcmules" and "signal 7" in event["logentry"]["message"]
