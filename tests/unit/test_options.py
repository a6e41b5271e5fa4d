"""The table of options: what is made from it is current, and each name means one thing in each place."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import pytest

import ipcmules
from ipcmules.bus.config import BusConfig
from ipcmules.cli import assembly, inifile, readers
from ipcmules.cli.options import Given
from ipcmules.compat import catalogue, opt
from ipcmules.embed.arguments import ARGUMENTS, argument
from ipcmules.errors import ConfigError
from ipcmules.options.hooks import Hooks
from ipcmules.options.launch import Launch
from ipcmules.options.option import OTHER, Option
from ipcmules.options.table import IN_FILES, TABLE
from support import run_cli

CHECKOUT = Path(__file__).resolve().parents[2]
HELP = run_cli("run", "--help").stdout


def tool() -> ModuleType:
    """tools/options.py, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("options_tool", CHECKOUT / "tools" / "options.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_made_from_the_table_is_current() -> None:
    old = [str(path.relative_to(CHECKOUT)) for path in tool().outdated()]
    assert not old, f"not current: {', '.join(old)}: run `make options`"


def test_a_name_belongs_to_one_option() -> None:
    names = [name for each in TABLE for name in each.names]
    assert len(names) == len(set(names))
    arguments = [argument(each) for each in ARGUMENTS]
    assert len(arguments) == len(set(arguments))


def test_every_option_fills_a_field_of_a_bus_or_is_used_up_by_the_launcher() -> None:
    known = {each.name for each in (*fields(BusConfig), *fields(Launch), *fields(Hooks))}
    assert {each.field for each in TABLE} <= known


@pytest.mark.parametrize("option", TABLE, ids=[each.name for each in TABLE])
def test_a_text_of_every_kind_is_read_or_refused(option: Option) -> None:
    for text in ("", "x", "1", "\0"):
        try:
            readers.read(option, text)
        except ConfigError as error:
            assert ":" in str(error)


# help


def test_help_has_all_groups_and_fits_a_terminal() -> None:
    assert not [line for line in HELP.splitlines() if len(line) > 80]
    for title in {each.group for each in TABLE if each.flags}:
        assert f"\n{title}:\n" in HELP
    assert "Examples:" in HELP and "ipcmules run --mule=worker.py -- python app.py" in HELP


@pytest.mark.parametrize("option", [each for each in TABLE if each.flags], ids=lambda each: each.name)
def test_help_breaks_no_word(option: Option) -> None:
    written = HELP.split()
    for word in (*option.help.removesuffix(".").split(), *option.kind.metavar.split()):
        assert any(word in each for each in written), word
    for flag in option.flags:
        assert re.search(rf"(^|[ ]){flag}[,\s]", HELP, re.MULTILINE), flag


def test_help_of_doctor_has_the_same_groups() -> None:
    text = run_cli("doctor", "--help").stdout
    assert (
        "Spooler:" in text and "--json" in text and not [each for each in text.splitlines() if len(each) > 80]
    )


# what a name means in [uwsgi]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("log-format", '%(addr) - %(user) "%(method) %(uri)" %(status)'),
        ("socket", "/run/app.sock,cluster=1"),
        ("processes", "%k"),
        ("workers", "many"),
        ("p", "auto"),
    ],
)
def test_what_uwsgi_means_otherwise_is_not_ours_in_a_uwsgi_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.delenv("IPCMULES_BUS", raising=False)
    assert IN_FILES[name].uwsgi == OTHER
    path = tmp_path / "u.ini"
    path.write_text(f"[uwsgi]\n{name} = {value}\nlocks = 2\n")
    given = Given()
    inifile.load(str(path), given)
    config = assembly.build(given)
    assert given.unused == [f"{path}, of the web server: {name}"]
    assert (config.locks, config.processes, config.sockets) == (2, 0, ())
    assert given.get("log_format", "") == ""
    assert name in opt.options(config)
    path.write_text(f"[ipcmules]\n{name} = \n")
    with pytest.raises(ConfigError, match=f"line 2, {name}: "):
        inifile.load(str(path), Given())


@pytest.mark.parametrize(("name", "value"), [("bus", "kafka:9092"), ("compat", "9.1")])
def test_a_plain_word_in_a_uwsgi_section_is_a_value_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.delenv("IPCMULES_BUS", raising=False)
    path = tmp_path / "u.ini"
    path.write_text(f"[uwsgi]\n{name} = {value}\nset = k=%({name})\n[ipcmules]\nlocks = 1\n")
    given = Given()
    inifile.load(str(path), given)
    config = assembly.build(given)
    assert (config.name, config.compat, config.settings) == ("default", False, (("k", value),))
    assert given.unused == [f"{path}: {name}"]
    assert opt.options(config)[name] == value.encode()


def test_log_format_of_a_uwsgi_section_does_not_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "u.ini").write_text("[uwsgi]\nlog-format = %(addr) %(uri)\n")
    done = run_cli("doctor", "--ini", "u.ini", cwd=tmp_path)
    assert "log-format" not in done.stderr, done.stderr
    shown = run_cli("migrate", "u.ini", "-o", "-", cwd=tmp_path)
    assert "gunicorn: --access-logformat FORMAT" in shown.stderr
    assert "\nlog-format" not in shown.stdout


def test_every_name_that_uwsgi_means_otherwise_is_explained_by_migrate() -> None:
    names = [name for each in TABLE if each.uwsgi == OTHER and each.only != "line" for name in each.names]
    assert not [name for name in names if catalogue.look(name) is None]


# errors


@pytest.mark.parametrize(
    "option", [each for each in ARGUMENTS if each.kind.toml != "text"], ids=lambda each: each.name
)
def test_an_error_names_the_option_or_the_argument(
    option: Option, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=rf"^{argument(option)}=<object object at .*: give "):
        ipcmules.Bus(**{argument(option): object()})
    given = Given()
    with pytest.raises(ConfigError, match=rf"^--{option.name}: '\?'"):
        given.add(option.name, "?", f"--{option.name}")


def test_a_daemon_that_is_not_there_is_looked_for_where_it_was_given() -> None:
    with pytest.raises(ConfigError, match="correct what stands after daemons"):
        ipcmules.Bus(daemons=["no-such-program"])


# uwsgi.opt


def test_opt_of_a_bus_that_a_program_described() -> None:
    config = ipcmules.Bus(
        mules=2,
        farms={"a": [1, 2]},
        locks=3,
        lazy_apps=True,
        mercy=2.5,
        settings={"k": "v"},
        queue_share=0.25,
    )._config
    assert opt.options(config) == {
        **{"master": True, "enable-threads": True, "mule": [True, True], "farm": b"a:1,2", "locks": b"3"},
        **{"lazy-apps": True, "mule-reload-mercy": b"2.5", "set": b"k=v", "k": b"v"},
    }


# imports


def test_the_flat_functions_do_not_import_the_table() -> None:
    code = (
        "import sys; from ipcmules import mule_msg, signal; print([m for m in sys.modules if 'options' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# completion


def completed(*words: str) -> list[str]:
    """What bash would be told after these words, the last of which is being written."""
    environment = {
        **os.environ,
        "_IPCMULES_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["ipcmules", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run(
        [sys.executable, "-m", "ipcmules"], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_asks_us(shell: str) -> None:
    done = run_cli("completion", shell)
    assert done.returncode == 0 and f"_IPCMULES_COMPLETE={shell}_complete" in done.stdout


def test_completion_for_a_shell_that_is_not_known() -> None:
    done = run_cli("completion", "tcsh")
    assert done.returncode == 2 and "'tcsh'" in done.stderr and "fish" in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("run", "--mule-h"), ["plain,--mule-harakiri"]),
        (("run", "--mule", "--mules", "2", "--log-format", ""), ["plain,text", "plain,json"]),
        (("run", "--on-mule-death", "d"), ["plain,dead-letter", "plain,drop"]),
        (("run", "--chdir", ""), ["dir,"]),
        (("run", "--ini", "a"), ["file,a"]),
        (("compl",), ["plain,completion"]),
        (("completion", "z"), ["plain,zsh"]),
    ],
)
def test_what_a_shell_is_offered(words: tuple[str, ...], expected: list[str]) -> None:
    assert completed(*words) == expected


def test_names_of_running_buses_are_offered(bus_env: object, bus_name: str) -> None:
    with ipcmules.Bus(bus_name):
        assert completed("status", "--bus", bus_name[:2]) == [f"plain,{bus_name}"]
        assert completed("run", "--bus", "") == [f"plain,{bus_name}"]
    assert completed("status", "--bus", "") == []
