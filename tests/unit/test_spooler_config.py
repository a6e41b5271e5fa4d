"""Options of spoolers: the same from an ini file, a TOML file and Python; and what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ipcmules
from ipcmules.bus.config import BusConfig, SpoolDir
from ipcmules.bus.layout import Layout
from ipcmules.cli import inifile, toml
from ipcmules.cli.assembly import build
from ipcmules.cli.options import Given
from ipcmules.messages import queues
from ipcmules.options.values import spool_dir
from ipcmules.signals.targets import resolve

_INI = """
[uwsgi]
chdir = {home}
spooler = tasks
spooler-external = {home}/others
spooler-processes = 3
spooler-frequency = 10
spooler-ordered = true
spooler-max-tasks = 7
spooler-harakiri = 2
spooler-quiet = true
"""
_TOML = """
chdir = "{home}"
spooler = ["tasks"]
spooler-external = "{home}/others"
spooler-processes = 3
spooler-frequency = 10
spooler-ordered = true
spooler-max-tasks = 7
spooler-harakiri = 2
spooler-quiet = true
"""


@pytest.fixture
def expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BusConfig:
    monkeypatch.delenv("IPCMULES_BUS", raising=False)
    return BusConfig(
        spoolers=(SpoolDir(f"{tmp_path}/tasks"), SpoolDir(f"{tmp_path}/others", True)),
        spooler_processes=3,
        spooler_frequency=10.0,
        spooler_ordered=True,
        spooler_max_tasks=7,
        spooler_harakiri=2.0,
        spooler_quiet=True,
        directory=str(tmp_path),
    )


def test_ini_and_toml_say_the_same(tmp_path: Path, expected: BusConfig) -> None:
    for name, text, load in (("a.ini", _INI, inifile.load), ("a.toml", _TOML, toml.load)):
        path = tmp_path / name
        path.write_text(text.format(home=tmp_path))
        given = Given()
        load(str(path), given)
        assert build(given) == expected
        assert not given.unused


def test_python_says_the_same_and_it_travels(tmp_path: Path, expected: BusConfig) -> None:
    bus = ipcmules.Bus(
        "default",
        spoolers=[tmp_path / "tasks"],
        spoolers_external=[str(tmp_path / "others")],
        spooler_processes=3,
        spooler_frequency=10.0,
        spooler_ordered=True,
        spooler_max_tasks=7,
        spooler_harakiri=2.0,
        spooler_quiet=True,
    )
    config = bus._config
    assert config.spoolers == expected.spoolers
    assert BusConfig.from_json(json.loads(json.dumps(expected.to_json()))) == expected
    assert not (tmp_path / "tasks").exists()


def test_directories_are_compared_as_real_paths(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    given = Given()
    given.add("spooler", str(tmp_path / "real"), "--spooler")
    given.add("spooler", str(tmp_path / "link"), "--spooler")
    with pytest.raises(ipcmules.ConfigError, match="twice"):
        build(given)


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"spoolers": (SpoolDir("relative"),)}, "absolute"),
        ({"spooler_processes": 0, "spoolers": (SpoolDir("/x"),)}, "from 1 to 4096"),
        ({"spooler_processes": 5000, "spoolers": (SpoolDir("/x"),)}, "from 1 to 4096"),
        ({"spooler_frequency": 0.0}, "more than 0"),
        ({"spooler_nice": 20}, "-20 to 19"),
        ({"spooler_max_attempts": -1}, "from 0"),
        ({"spooler_harakiri": -1.0}, "0"),
    ],
)
def test_what_cannot_be_is_an_error(wrong: dict[str, object], word: str) -> None:
    with pytest.raises(ipcmules.ConfigError, match=word):
        BusConfig(**wrong)  # type: ignore[arg-type] # that is what is tested


def test_a_list_is_asked_for() -> None:
    with pytest.raises(ipcmules.ConfigError, match="list of directories"):
        ipcmules.Bus(spoolers="/tmp/x")


def test_a_queue_has_a_name_and_processes_of_its_own() -> None:
    text = {
        "tasks": SpoolDir("tasks"),
        "./mail:4": SpoolDir("./mail:4"),
        "mail:4": SpoolDir("mail", False, "mail", 4),
        "video:1,path=/var/spool/v,x": SpoolDir("/var/spool/v,x", False, "video", 1),
        "video,path=v": SpoolDir("v", False, "video", 0),
        "c:/x": SpoolDir("c:/x"),
    }
    assert {each: spool_dir(each) for each in text} == text
    for wrong in ("mail:0", "mail:0,path=x"):
        with pytest.raises(ipcmules.ConfigError, match="has no process"):
            spool_dir(wrong)
    config = BusConfig(
        spoolers=(SpoolDir("/a"), SpoolDir("/b", False, "b", 3), SpoolDir("/c", False, "c", 1)),
        spooler_processes=2,
    )
    assert config.spooler_directories == ("/a", "/a", "/b", "/b", "/b", "/c")
    assert [list(config.spoolers_of(number)) for number in (1, 2, 3)] == [[1, 2], [3, 4, 5], [6]]
    assert BusConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_numbers_queues_and_endpoints_follow_the_declaration() -> None:
    config = BusConfig(spoolers=(SpoolDir("/a"), SpoolDir("/x", True), SpoolDir("/b")), spooler_processes=2)
    layout = Layout.of(config)
    assert config.spooler_directories == ("/a", "/a", "/b", "/b")
    assert queues.endpoints(config) == ("spool.1", "spool.2")
    assert (layout.spoolers, layout.spools) == (4, 2)
    assert resolve("spooler", config).fixed == (layout.spool_endpoint(0),)
    assert resolve("/b", config).fixed == (layout.spool_endpoint(2),)
    assert resolve("/x", config).fixed == ()
    assert layout.spool_endpoint(2) < layout.worker_endpoint(1)
    plain = Layout.of(BusConfig())
    assert resolve("spooler", BusConfig()).fixed == ()
    assert plain.worker_endpoint(1) == 3  # after *held*
