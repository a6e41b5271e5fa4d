"""Timers, crons and monitors as values: what is refused, the way through JSON; time zones as tokens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipcmules.errors import EventError, EventTypeError, IpcMulesError
from ipcmules.events import specs, zones

SPECS: list[specs.Spec] = [
    specs.timer(30),
    specs.timer(0.25, overlap=False),
    specs.ms_timer(10),
    specs.rb_timer(5, 3),
    specs.rb_timer(0, 2),
    specs.cron(-5, 3, -1, -1, 7, tz="Europe/Rome"),
    specs.cron("*/5 8-18 * * mon-fri", tz="UTC", overlap=False),
    specs.monitor("/tmp/x", recursive=True),
    specs.monitor("/tmp/\udcff", present=True),
]


@pytest.mark.parametrize("spec", SPECS)
def test_through_json(spec: specs.Spec) -> None:
    assert specs.from_json(json.loads(json.dumps(specs.to_json(spec)))) == spec


@given(st.integers(1, 10**15), st.integers(0, 1000), st.booleans())
def test_any_timer_through_json(microseconds: int, iterations: int, overlap: bool) -> None:
    try:
        spec = specs.rb_timer(microseconds / 1e6, iterations, overlap=overlap)
    except EventError:
        assert microseconds < 1000
        return
    assert specs.from_json(json.loads(json.dumps(specs.to_json(spec)))) == spec
    assert abs(spec.interval - microseconds * 1000) <= 256  # a float of seconds is not exact


def test_in_words() -> None:
    assert [each.describe() for each in SPECS[:8]] == [
        "every 30 s",
        "every 250 ms",
        "every 10 ms",
        "every 5 s, 3 times",
        "at once, 2 times",
        "*/5 3 * * 7",
        "*/5 8-18 * * mon-fri",
        "changes below /tmp/x",
    ]


@pytest.mark.parametrize("seconds", [0, -1, 0.0, float("nan"), float("inf"), 1e13, 0.0004])
def test_intervals_that_cannot_be(seconds: float) -> None:
    for make in (specs.timer, specs.ms_timer, specs.rb_timer):
        with pytest.raises(EventError, match="millisecond or more") as caught:
            make(seconds)
        assert repr(seconds) in str(caught.value)
        assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("value", ["1", None, True, [1], 1j])
def test_intervals_of_another_type(value: object) -> None:
    with pytest.raises(EventTypeError) as caught:
        specs.timer(value)  # type: ignore[arg-type]
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("iterations", [-1, 1 << 31])
def test_iterations_that_cannot_be(iterations: int) -> None:
    with pytest.raises(EventError):
        specs.rb_timer(1, iterations)


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 5000])
def test_paths_that_cannot_be(path: str) -> None:
    with pytest.raises(EventError):
        specs.monitor(path)


def test_paths() -> None:
    assert specs.monitor("x").path == os.path.abspath("x")
    assert specs.monitor(b"/tmp/\xff").path == "/tmp/\udcff"
    assert specs.monitor(Path("/tmp/")).path == "/tmp"
    with pytest.raises(EventTypeError):
        specs.monitor(3)  # type: ignore[arg-type]


def test_a_cron_has_one_argument_or_five() -> None:
    with pytest.raises(EventTypeError, match="not 3 arguments"):
        specs.cron(1, 2, 3)
    with pytest.raises(EventTypeError):
        specs.cron(5)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(SPECS), st.data())
def test_whatever_comes_through_a_socket_is_checked(spec: specs.Spec, data: st.DataObject) -> None:
    sent = specs.to_json(spec)
    sent[data.draw(st.sampled_from(sorted(sent)))] = data.draw(values)
    try:
        specs.from_json(sent)
    except IpcMulesError:
        pass


@given(values)
def test_garbage_is_refused(data: object) -> None:
    with pytest.raises(IpcMulesError):
        specs.from_json(data)


# Zones

IN_PROCESS = """
import os, time
from ipcmules.events import zones
if os.environ.get("LATER"):
    os.environ["TZ"] = os.environ["LATER"]
    if os.environ.get("TZSET"):
        time.tzset()
print(zones.current_zone())
"""


def zone_in_process(**environment: str) -> str:
    clean = {key: value for key, value in os.environ.items() if key not in ("TZ", "TZDIR")}
    ran = subprocess.run(
        [sys.executable, "-c", IN_PROCESS],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ran.stdout.strip()


@pytest.mark.parametrize(
    ("variable", "token"),
    [
        ("Europe/Rome", "Europe/Rome"),
        (":America/New_York", "America/New_York"),
        ("", "UTC"),
        (":", "UTC"),
        ("nonsense", "UTC"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "CET-1CEST,M3.5.0,M10.5.0/3"),
        ("JST-9", "JST-9"),
    ],
)
def test_what_tz_means(variable: str, token: str) -> None:
    assert zone_in_process(TZ=variable) == token


def test_django_sets_tz_in_the_app() -> None:
    assert zone_in_process(TZ="Europe/Rome", LATER="Asia/Tokyo", TZSET="1") == "Asia/Tokyo"


def test_the_file_that_tz_names(tmp_path: Path) -> None:
    file = tmp_path / "here"
    file.write_bytes(Path("/usr/share/zoneinfo/Asia/Tokyo").read_bytes())
    token = zone_in_process(TZ=f":{file}")
    assert token == f":{file}"
    assert datetime(2026, 1, 1, tzinfo=zones.zone(token)).utcoffset() == timedelta(hours=9)
    assert zone_in_process(TZ="here", TZDIR=str(tmp_path)) == f":{file}"


@pytest.mark.parametrize(
    ("text", "like"),
    [
        ("CET-1CEST,M3.5.0,M10.5.0/3", "Europe/Rome"),
        ("EST5EDT", "America/New_York"),
        ("EST5EDX4", "America/New_York"),
        ("<+0530>-5:30", "Asia/Kolkata"),
        ("IST-1GMT0,M10.5.0,M3.5.0/1", "Europe/Dublin"),
    ],
)
def test_posix_rules(text: str, like: str) -> None:
    for day in range(0, 365, 3):
        moment = 1_790_000_000 + day * 86400
        ours = datetime.fromtimestamp(moment, zones.zone(text))
        assert ours.utcoffset() == datetime.fromtimestamp(moment, ZoneInfo(like)).utcoffset()


@pytest.mark.parametrize(
    ("tz", "token"),
    [
        ("Europe/Rome", "Europe/Rome"),
        (ZoneInfo("Europe/Rome"), "Europe/Rome"),
        (timezone.utc, "UTC"),
        (timezone(timedelta(hours=5, minutes=30)), "<+0530>-05:30:00"),
        (timezone(-timedelta(hours=3)), "<-0300>+03:00:00"),
    ],
)
def test_zones_that_are_given(tz: str | tzinfo, token: str) -> None:
    assert zones.token_of(tz) == token
    if isinstance(tz, tzinfo):
        moment = datetime(2026, 7, 1)
        assert moment.replace(tzinfo=zones.zone(token)).utcoffset() == moment.replace(tzinfo=tz).utcoffset()


@pytest.mark.parametrize(
    "name", ["Europe/Roma", "", "../../etc/passwd", "/etc/passwd", ":/nowhere", "a\0b", "Europe"]
)
def test_zones_that_do_not_exist(name: str) -> None:
    with pytest.raises(EventError) as caught:
        zones.token_of(name)
    assert isinstance(caught.value, ValueError)


def test_a_zone_file_that_would_never_end_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero"), tmp_path):
        with pytest.raises(EventError, match="cannot be used"):
            zones.zone(f":{path}")


def test_no_zone_at_all() -> None:
    with pytest.raises(EventTypeError):
        zones.token_of(3)  # type: ignore[arg-type]

    class Nameless(tzinfo):
        pass

    with pytest.raises(EventError, match="has no name"):
        zones.token_of(Nameless())
