"""The context of who traces, beside plain messages: it comes with them, and their bytes are their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from conftest import BusEnvironment
from ipcmules.bus.places import places
from ipcmules.snapshot import take
from support import Launcher, wait_until

#: What the mules do: write each span, or what they received, as a line of JSON.
APP = """
import json, os
import ipcmules
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter

def say(**said):
    with open("said", "a") as file:
        file.write(json.dumps(said) + chr(10))

class Sayer(SpanExporter):
    def export(self, spans):
        for each in spans:
            say(span=each.name, parent=each.parent and format(each.parent.span_id, "x"))

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(Sayer()))
trace.set_tracer_provider(provider)

def hook(message):
    say(hook=message[:40].hex(), size=len(message))
    while message == b"hold" and not os.path.exists("go"):
        pass

ipcmules.install_mule_msg_hook(hook)
"""

LOOP = """
import app
import ipcmules

while True:
    message = ipcmules.mule_get_msg()
    app.say(got=message.hex(), context=ipcmules.received_context())
"""

#: Sends, each within a span or none; then says which spans those were.
SENDER = """
import json, sys
import ipcmules
ipcmules.attach(sys.argv[1])
ipcmules.mule_msg(b"before", 1)  # what is sent before the app has to do with traces

from opentelemetry import trace
ipcmules.mule_msg(b"imported", 1)
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
tracer = trace.get_tracer("sender")
ipcmules.mule_msg(b"without", 1)
with tracer.start_as_current_span("request") as span:
    ipcmules.mule_msg(b"small", 1)
    ipcmules.mule_msg(b"", 1)
    ipcmules.mule_msg(b"L" * 100000, 1)
    ipcmules.mule_msg(b'x{"traceparent": "1"}', 1, priority=3)
    ipcmules.farm_msg("f", b"of a farm")
    ipcmules.mule_msg(b"to be got", 2)
ipcmules.mule_msg(b"after", 1)
ipcmules.mule_msg(b"not traced", 2)
print(format(span.get_span_context().span_id, "x"))
"""


def _said(place: Path, key: str) -> list[dict[str, Any]]:
    try:
        lines = (place / "said").read_text().splitlines()
    except FileNotFoundError:
        return []
    return [found for each in lines if key in (found := json.loads(each))]


def _segments(bus_name: str) -> list[str]:
    prefix = places(bus_name).large_prefix.lstrip("/")
    return [each for each in os.listdir("/dev/shm") if each.startswith(prefix)]


def test_plain_messages(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "loop.py").write_text(LOOP)
    options = ("--bus", bus_name, "--import", "app.py", "--mule", "--mule=loop.py", "--farm", "f:1")
    with Launcher(*options, cwd=tmp_path):
        sent = subprocess.run(
            [sys.executable, "-c", SENDER, bus_name], capture_output=True, text=True, timeout=60, check=False
        )
        assert sent.returncode == 0, sent.stderr
        mine = sent.stdout.strip()
        wait_until(lambda: len(_said(tmp_path, "span")) == 9, what="the spans of the hook")
        wait_until(lambda: len(_said(tmp_path, "got")) == 2, what="what the loop got")
        hooked = [(bytes.fromhex(each["hook"]), each["size"]) for each in _said(tmp_path, "hook")]
        parents = [each["parent"] for each in _said(tmp_path, "span")]
        traced = {b"small", b"", b"L" * 40, b'x{"traceparent": "1"}', b"of a farm"}
        plain = {b"before", b"imported", b"without", b"after"}
        assert {begins for begins, _size in hooked} == traced | plain
        assert (b"L" * 40, 100000) in hooked and (b"", 0) in hooked and (b"small", 5) in hooked
        for (begins, _size), parent in zip(hooked, parents, strict=True):
            assert parent == (mine if begins in traced else None), begins
        assert {each["span"] for each in _said(tmp_path, "span")} == {"a message hook"}
        first, second = _said(tmp_path, "got")
        assert bytes.fromhex(first["got"]) == b"to be got" and mine in first["context"]["traceparent"]
        assert (bytes.fromhex(second["got"]), second["context"]) == (b"not traced", {})
        wait_until(lambda: not _segments(bus_name), what="the end of what was done")


def test_a_mule_that_dies_loses_the_context_alone(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(APP)
    options = ("--bus", bus_name, "--import", "app.py", "--mules", "1", "--on-mule-death", "requeue")
    sender = SENDER.replace('b"small"', 'b"hold"')
    with Launcher(*options, cwd=tmp_path):
        subprocess.run([sys.executable, "-c", sender.split("    ipcmules.farm_msg")[0], bus_name], check=True)
        held = wait_until(
            lambda: [each for each in _said(tmp_path, "hook") if each["size"] == 4], what="hook"
        )
        assert held and len(_segments(bus_name)) >= 3
        os.kill(take(places(bus_name)).mules[0].pid, signal.SIGKILL)
        (tmp_path / "go").touch()
        wait_until(lambda: len(_said(tmp_path, "span")) == 7, what="all of them")
        sizes = sorted(each["size"] for each in _said(tmp_path, "hook"))
        assert sizes == [0, 4, 4, 6, 7, 8, 21, 100000]
        wait_until(lambda: not _segments(bus_name), what="the end of what was done")
