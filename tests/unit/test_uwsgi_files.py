"""Configurations that uWSGI starts with, in all their formats: what comes out of them here."""

from __future__ import annotations

import builtins
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from ipcmules.bus.config import BusConfig, Program
from ipcmules.cli import assembly, inifile
from ipcmules.cli.options import Given
from ipcmules.compat import ini
from ipcmules.errors import ConfigError
from ipcmules.options import daemons
from ipcmules.options.daemons import Daemon


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IPCMULES_BUS", raising=False)
    return tmp_path


def given(text: str, name: str = "u.ini", **more: Any) -> Given:
    Path(name).write_text(text)
    found = Given()
    inifile.load([(name.rpartition(".")[2], name)], found, **more)
    return found


def bus(text: str, name: str = "u.ini") -> BusConfig:
    return assembly.build(given(text, name))


def uwsgi(text: str) -> BusConfig:
    return bus(f"[uwsgi]\n{text}\n")


# values


@pytest.mark.parametrize("value", ["true", "1", "4", "yes", ""])
def test_a_mule_without_a_program(value: str) -> None:
    found = given(f"[uwsgi]\nmule = {value}\n")
    assert assembly.build(found).mules == (Program(),)
    assert bool(found.missing) == (value == "4")


def test_a_program_that_is_none_is_still_an_error() -> None:
    with pytest.raises(ConfigError, match=r"u.ini, line 2, mule: .*neither"):
        uwsgi("mule = worker")


def test_variables_that_are_set_and_taken_out() -> None:
    found = given("[uwsgi]\nenv = A=1\nenv = B\nenv =\nunenv = C\n")
    assert found.get("environment", ()) == (("A", "1"),)
    assert found.get("unset", ()) == ("B", "C")


def test_paths(here: Path) -> None:
    for name in ("a/lib", "b/lib"):
        (here / name).mkdir(parents=True)
    assert uwsgi("pythonpath =\npythonpath = */lib\npp = nowhere").paths == tuple(
        str(here / each) for each in ("a/lib", "b/lib", "nowhere")
    )


def test_crons_that_never_run_are_said() -> None:
    found = given("[uwsgi]\ncron = 60 -1 -1 -1 -1 /bin/true\ncron = 0 -1 -1 -1 -1 /bin/false\n")
    assert [each.command for each in assembly.build(found).crons] == ["/bin/false"]
    assert any("never runs, as in uWSGI" in each for each in found.missing)
    with pytest.raises(ConfigError, match="no cron"):
        uwsgi("cron = never")


LEGION = "legion = here 127.0.0.1:4001 50 bf-cbc:secret\n"


@pytest.mark.parametrize(
    ("more", "runs"), [("", True), ("legion-node = here 10.0.0.2:4001\n", False), ("legion = x", False)]
)
def test_crons_and_daemons_of_a_legion(more: str, runs: bool) -> None:
    text = "[uwsgi]\n" + (more if more == "legion = x" else LEGION + more)
    text += (
        "\nlegion-cron = here 0 -1 -1 -1 -1 one\ncron2 = minute=1,legion=here,unique=1 two\n"
        "unique-cron-legion = here 2 -1 -1 -1 -1 three\nlegion-attach-daemon = here sleep 9\n"
    )
    found = given(text)
    config = assembly.build(found)
    assert [(each.command, each.unique) for each in config.crons] == (
        [("one", False), ("two", True), ("three", True)] if runs else []
    )
    assert config.daemons == (("sleep 9",) if runs else ())
    said = " ".join(found.missing)
    assert ("several machines" in said or "no legion" in said) is not runs


def test_kinds_of_hooks_and_alarms_that_are_not_here() -> None:
    found = given(
        "[uwsgi]\nalarm = ops curl:http://x\nalarm = here log:\nhook-as-mule = mount:proc none /p\n"
        "hook-as-mule = print:x\nhook-pre-app = callret:f\nhook-asap = mkdir:d\n"
    )
    config = assembly.build(found)
    assert config.alarms == ("ops log:curl", "here log:")
    assert config.mule_hooks == ("print:x",)
    assert found.get("hooks_asap", ()) == ("mkdir:d",) and not found.get("hooks_before", ())
    said = {name for names in found.missing.values() for name in names}
    assert said == {
        "alarm = ops curl:http://x",
        "hook-as-mule = mount:proc none /p",
        "hook-pre-app = callret:f",
    }


def test_numbers_and_flags_as_uwsgi_reads_them() -> None:
    config = uwsgi("locks = 3x\nlazy-apps = indeed\nspooler-quiet = 0\nspooler-frequency = 15 seconds")
    assert (config.locks, config.lazy_apps, config.spooler_quiet) == (3, True, False)
    assert config.spooler_frequency == 15
    with pytest.raises(ConfigError, match="line 2, locks: 'x'"):
        uwsgi("locks = x")


def test_smart_daemons_are_shells_that_look_at_the_pid_file(here: Path) -> None:
    config = uwsgi(
        "smart-attach-daemon = /run/x.pid redis-server --daemonize yes\n"
        "smart-attach-daemon2 = p sleep 9\nattach-daemon2 = cmd=sleep 5,freq=1\n"
        "attach-daemon2 = cmd=nginx,pidfile=n,daemonize=1,stopsignal=3"
    )
    assert [each.count("kill -0") for each in config.daemons] == [1, 1]
    assert "/run/x.pid" in config.daemons[0] and f"{here}/p" in config.daemons[1]
    first, second = config.described_daemons
    assert first == Daemon("sleep 5")
    assert second.command.count("kill -0") == 1 and f"{here}/n" in second.command


def test_what_a_daemon_is_described_by(here: Path) -> None:
    (here / "w").mkdir()
    config = uwsgi(
        "attach-daemon2 = cmd=printf a\\,b,stopsignal=3,touch=t;/u,chdir=w,uid=7,gid=root,"
        "control=1,max_throttle=9"
    )
    assert config.described_daemons == (
        Daemon("printf a,b", True, signal.SIGQUIT, f"{here}/w", (f"{here}/t", "/u"), 7, 0),
    )
    assert BusConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    with pytest.raises(ConfigError, match=r"'chroot' in .* is not known: a daemon has"):
        uwsgi("attach-daemon2 = cmd=sleep 5,chroot=/")
    with pytest.raises(ConfigError, match="uid=nobody-here: this system has no such user"):
        uwsgi("attach-daemon2 = cmd=sleep 5,uid=nobody-here")
    with pytest.raises(ConfigError, match="'99' is no signal of this system"):
        uwsgi("attach-daemon2 = cmd=sleep 5,stopsignal=99")
    with pytest.raises(ConfigError, match="has no command: write cmd=COMMAND"):
        uwsgi("attach-daemon2 = freq=1")


@given_any(
    st.dictionaries(
        st.from_regex(r"[a-z_]+", fullmatch=True), st.text(st.characters(exclude_characters="\\"))
    )
)
def test_pairs_of_a_daemon_come_back(values: dict[str, str]) -> None:
    assert daemons.pairs(daemons.joined(values)) == values


def test_caches_of_uwsgis(here: Path) -> None:
    config = uwsgi(
        "cache = 100\ncache-blocksize = 50\ncache-store = c.mdb\n"
        "cache2 = name=a,items=9,purge_lru=1,nodes=b:1"
    )
    first, second = config.caches
    assert (first.name, first.items, first.largest, first.full) == ("default", 100, 50, "refuse")
    assert first.store == f"{here}/c.mdb" and (second.name, second.full) == ("a", "evict")


def test_what_is_missing_is_said_by_what_is_lost() -> None:
    found = given(
        "[uwsgi]\ncache2 = name=x,items=9,sync=a:1\ncache-sync = b:1\nadd-cache-item = k\nchroot = /jail\n"
        "vacuum = true\nhttp = :1\n"
    )
    assert {name: text for text, names in found.missing.items() for name in names} == {
        "cache2 = name=x,items=9,sync=a:1": "copies of the cache on other machines: each has its own",
        "cache-sync": "copies of the cache on other machines: each has its own",
        "add-cache-item = k": "it is not stored, as in uWSGI: 'k' is no entry of a cache: "
        "write [CACHE ]KEY=VALUE",
        "chroot": "the jail or namespace: let the service manager do it (PrivateMounts=, RootDirectory=)",
    }
    assert found.unused == ["u.ini, of the web server: http"]


def test_a_command_that_gives_a_value_of_an_option_nobody_needs() -> None:
    assert uwsgi("daemonize = @(exec://echo /var/log/x.log)\nlocks = @(exec://echo 4)").locks == 4


# conditions


def test_conditions_and_loops(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    (here / "more.ini").write_text("[uwsgi]\nlocks = 2\nif-env = PROD\nset = nested=%(_)\nendif =\n")
    monkeypatch.setenv("PROD", "eu")
    config = uwsgi(
        "if-exists = more.ini\ninclude = %(_)\nendif =\nif-not-env = PROD\nmules = 9\nendif =\n"
        "if-env = PROD=eu\nmules = 1\nendif =\nfor-times = 2\nset = k%(_)=%(_)\nmule =\nendfor =\n"
        "if-opt = locks=2\nset = seen=%(_)\nendif ="
    )
    assert (config.locks, len(config.mules)) == (2, 3)
    assert dict(config.settings) == {"nested": "eu", "k1": "1", "k2": "2", "seen": "2"}


def test_what_a_reload_reads() -> None:
    text = "[uwsgi]\nif-reload =\nset = again=1\nendif =\nif-not-reload =\nset = first=1\nendif =\n"
    assert dict(assembly.build(given(text)).settings) == {"first": "1"}
    again = Given()
    again.reload = True
    inifile.load("u.ini", again)
    assert dict(assembly.build(again).settings) == {"again": "1"}


def test_what_conditions_leave_out_can_be_seen() -> None:
    Path("u.ini").write_text("[uwsgi]\nif-env = NO_SUCH\nmule = a.py\nend-if\nlocks = 1\n")
    entries = ini.read("u.ini", blocks=True)
    assert [(each.key, each.holds, each.block) for each in entries] == [
        ("mule", False, "if-env = NO_SUCH"),
        ("locks", True, ""),
    ]


# formats


FORMATS = {
    "u.yaml": "uwsgi:\n  mule: true\n  locks: 3\n  set:\n    - a=1\n    - b=%(locks)\n  harakiri: %(locks)\n",
    "u.yml": "uwsgi: {mule: 1, locks: 3, set: ['a=1', 'b=3']}\nother: {locks: 9}\n",
    "u.json": '{"uwsgi": {"mule": true, "locks": 3, "set": ["a=1", "b=3"]}, "other": {"locks": 9}}',
    "u.xml": "<?xml version='1.0' encoding='latin-1'?>\n"
    "<uwsgi><mule/><locks> 3 </locks><!-- x --><set>a=1</set><set>b=3</set></uwsgi>",
    "all.xml": "<all><x/><uwsgi><mule/><locks>3</locks><set>a=1</set><set>b=3</set></uwsgi></all>",
    "u.ini": "[other]\nlocks = 9\n[uwsgi]\nmule = 1\nlocks = 3\nset = a=1\nset = b=3\n",
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_bus_in_every_format(name: str) -> None:
    config = bus(FORMATS[name], name)
    assert (config.mules, config.locks, dict(config.settings)) == ((Program(),), 3, {"a": "1", "b": "3"})
    assert config.options[0] == (name.rpartition(".")[2], name)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("u.yaml", "uwsgi:\n  a: [\n", "u.yaml is not valid YAML"),
        ("u.yaml", "uwsgi:\n  a:\n    b: 1\n", "u.yaml, line 3: a has a table for its value"),
        ("u.json", "{", "u.json is not valid JSON"),
        ("u.json", '{"uwsgi": {"a": {"b": 1}}}', "u.json: a has a table for its value"),
        ("u.json", '{"production": {}}', r"neither \[ipcmules\] nor \[uwsgi\], but \[production\]"),
        ("u.xml", "<uwsgi><a>", "u.xml is not valid XML: .*line 1"),
        (
            "u.xml",
            '<!DOCTYPE u [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>\n<uwsgi><x>&b;</x></uwsgi>',
            "line 1: entity 'a': entities are not expanded",
        ),
        ("u.xml", '<!DOCTYPE u [<!ENTITY a SYSTEM "/etc/passwd">]>\n<uwsgi/>', "entities are not expanded"),
        (
            "u.ini",
            "[uwsgi-production]\nlocks = 1\n[uwsgi-test]\n",
            r"but \[uwsgi-production\], \[uwsgi-test\]",
        ),
    ],
)
def test_files_that_are_wrong(name: str, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        given(text, name)


def test_yaml_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "yaml":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "yaml", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"needs the package PyYAML: pip install 'ipcmules\[yaml\]'"):
        given("uwsgi: {}", "u.yaml")


def test_formats_include_each_other(here: Path) -> None:
    (here / "b.json").write_text('{"uwsgi": {"set": "json=%s", "yaml": "c.yaml"}}')
    (here / "c.yaml").write_text("uwsgi:\n  include: d.xml\n  set: yaml=%n\n")
    (here / "d.xml").write_text("<uwsgi><set>xml=%e</set></uwsgi>")
    assert dict(uwsgi("include = b.json\nset = ini=%S").settings) == {
        "json": "b.json",
        "xml": "xml",
        "yaml": "c",
        "ini": "u.ini",
    }


def test_several_files_know_each_other(here: Path) -> None:
    (here / "a.ini").write_text("[uwsgi]\nbase = /srv\nset = one=%(later)\n")
    (here / "b.yaml").write_text("uwsgi:\n  later: 5\n  set: two=%(base)/x\n")
    found = Given()
    inifile.load([("ini", "a.ini"), ("yaml", "b.yaml")], found)
    assert dict(assembly.build(found).settings) == {"one": "5", "two": "/srv/x"}


def test_variables_of_uwsgi(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    (here / "a.ini").write_text("[uwsgi]\nlocks = 1\n")
    for name, value in (("INI", "a.ini"), ("MULES", "2"), ("SET", "a=b"), ("RELOADS", "1")):
        monkeypatch.setenv(f"UWSGI_{name}", value)
    found = Given()
    inifile.load([], found, environment=True)
    config = assembly.build(found)
    assert (config.locks, len(config.mules), config.settings) == (1, 2, (("a", "b"),))
    assert not found.unused and "reloads" not in {key for key, _ in found.raw}
    monkeypatch.setenv("UWSGI_LOCKS", "many")
    with pytest.raises(ConfigError, match="environment variable UWSGI_LOCKS, locks: 'many'"):
        inifile.load([], Given(), environment=True)
