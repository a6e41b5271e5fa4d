"""One bus from the command line, ini and TOML: what each option becomes, and which of them wins."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from ipcmules.bus.config import BusConfig, Farm, Program
from ipcmules.cli import main as cli
from ipcmules.master import run as master


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A function from a command line of `ipcmules run` to the BusConfig that the master would get."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IPCMULES_BUS", raising=False)
    for name in ("worker.py", "other.py", "app.py"):
        (tmp_path / name).write_text("")
    seen: list[BusConfig] = []

    def record(config: BusConfig, report: object = None, reread: object = None, **more: object) -> int:
        seen.append(config)
        return 7

    monkeypatch.setattr(master, "run", record)

    def run(*arguments: str) -> BusConfig:
        with pytest.raises(SystemExit) as ended:
            cli.main(["run", *arguments])
        assert ended.value.code == 7
        return seen[-1]

    return run


def test_the_defaults(described: Any, tmp_path: Path) -> None:
    assert described() == BusConfig(directory=str(tmp_path))


def test_every_option_of_the_command_line(described: Any, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "deep.py").write_text("")
    found = described(
        *(
            "--mule",
            "--mule=deep.py",
            "--mules",
            "2",
            "--mule=pkg.mod:func",
            "--farm",
            "mail:1,2",
            "--farm=all:1,5",
        ),
        *("--processes", "3", "--import", "json", "--import=deep.py", "--lazy-apps", "--locks", "4"),
        *(
            "--bus",
            "b-1",
            "--set",
            "k=v=w",
            "--set=l=",
            "--pyargv",
            "--one two",
            "--mule-reload-mercy",
            "2.5",
            "--mule-harakiri=30",
            "--mule-max-msgs",
            "1000",
            "--touch-mules-reload",
            "a.touch",
            "--touch-mules-reload=/b",
        ),
        *("--chdir", "sub", "--pythonpath", "..", "--pythonpath=/opt", "--queue-share", "0.25"),
        *("--", "sh", "-c", "--mule", "--"),
    )
    deep = str(tmp_path / "sub" / "deep.py")
    assert found == BusConfig(
        name="b-1",
        mules=(
            Program(),
            Program("file", deep, "deep.py"),
            Program(),
            Program(),
            Program("callable", "pkg.mod:func"),
        ),
        farms=(Farm("mail", (1, 2)), Farm("all", (1, 5))),
        processes=3,
        imports=("json", deep),
        lazy_apps=True,
        locks=4,
        settings=(("k", "v=w"), ("l", "")),
        pyargv=("--one", "two"),
        mercy=2.5,
        harakiri=30.0,
        max_messages=1000,
        touch_reload=(str(tmp_path / "sub" / "a.touch"), "/b"),
        queue_share=0.25,
        directory=str(tmp_path / "sub"),
        paths=(str(tmp_path / "sub" / ".."), "/opt"),
        command=("sh", "-c", "--mule", "--"),
    )


@pytest.mark.parametrize("option", [("-p", "2"), ("-p2",), ("--workers", "2"), ("--workers=2",)])
def test_names_of_processes(described: Any, option: tuple[str, ...]) -> None:
    assert described(*option).processes == 2


def test_an_option_that_looks_like_mule_is_a_value_where_one_is_due(described: Any) -> None:
    found = described("--pyargv", "--mule", "--mule")
    assert found.pyargv == ("--mule",)
    assert found.mules == (Program(),)


def test_mules_are_numbered_in_the_order_of_the_command_line(described: Any) -> None:
    found = described("--mules=1", "--mule=worker.py", "--mules", "1", "--mule=other.py", "--mule")
    assert [each.label for each in found.mules] == ["", "worker.py", "", "other.py", ""]


def test_an_ini_file(described: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SET_BY_INI", "")
    (tmp_path / "u.ini").write_text(
        "[uwsgi]\nsocket = :3031\nhttp-socket = :8080\nprocesses = 4\nworkers = 4\nmaster = true\n"
        "enable-threads = true\nmodule = package.wsgi:application\nwsgi-file = app.py\nimport = json\n"
        "shared-import = base64\nmule = worker.py\nmules = 1\nfarm = f:1,2\nlocks = 3\nlazy-apps = false\n"
        "pythonpath = lib\nset = a=1\nenv = SET_BY_INI=yes\npyargv = x y\nmule-reload-mercy = 5\n"
        "mule-harakiri = 4\nmule-max-msgs = 7\ntouch-mules-reload = t1\ntouch-mules-reload = t2\n"
        "[ipcmules]\nprocesses = 1\nbus = ini\nqueue-share = 0.1\n"
    )
    found = described("--ini", "u.ini")
    app = str(tmp_path / "app.py")
    assert found == BusConfig(
        name="ini",
        mules=(Program("file", str(tmp_path / "worker.py"), "worker.py"), Program()),
        farms=(Farm("f", (1, 2)),),
        processes=1,
        imports=("base64", "json", "package.wsgi", app),
        locks=3,
        settings=(("a", "1"),),
        pyargv=("x", "y"),
        mercy=5.0,
        handler_harakiri=4.0,
        max_messages=7,
        touch_reload=(str(tmp_path / "t1"), str(tmp_path / "t2")),
        queue_share=0.1,
        directory=str(tmp_path),
        paths=(str(tmp_path / "lib"),),
    )
    assert os.environ["SET_BY_INI"] == "yes"


def test_options_without_meaning_are_said_once_in_one_line(
    described: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "u.ini").write_text(
        "[uwsgi]\nhome = /v\nold = 1\nhome = /w\nharakiri = 3\nvacuum = true\nhttp = :80\n[ipcmules]\nnope\n"
    )
    described("--ini", "u.ini")
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert capsys.readouterr().err == (
        "ipcmules: options that have no meaning here: u.ini: old, nope; "
        "u.ini, of the web server: harakiri, http; "
        f"home '/w' (no virtual environment of Python {python}, which runs this)\n"
    )


@pytest.mark.parametrize("header", ["", "[ipcmules]\n"])
def test_a_toml_file(described: Any, tmp_path: Path, header: str) -> None:
    (tmp_path / "b.toml").write_text(
        header
        + 'bus = "t"\nmule = ["", "worker.py", "pkg.mod:func"]\nmules = 2\nfarm = {f = [1, 2], g = [5]}\n'
        'locks = 2\nlazy-apps = true\nprocesses = 1\nimport = ["json", "app.py"]\nqueue-share = 1\n'
        'set = {a = "x", n = 3, yes = true}\npyargv = ["one word", "two"]\nmule-reload-mercy = 1.5\n'
        'pythonpath = "lib"\nmule-harakiri = 2.5\nmule-max-msgs = 9\ntouch-mules-reload = ["x", "/y"]\n'
    )
    assert described("--config", "b.toml") == BusConfig(
        name="t",
        mules=(
            Program(),
            Program("file", str(tmp_path / "worker.py"), "worker.py"),
            Program("callable", "pkg.mod:func"),
            Program(),
            Program(),
        ),
        farms=(Farm("f", (1, 2)), Farm("g", (5,))),
        processes=1,
        imports=("json", str(tmp_path / "app.py")),
        lazy_apps=True,
        locks=2,
        settings=(("a", "x"), ("n", "3"), ("yes", "true")),
        pyargv=("one word", "two"),
        mercy=1.5,
        harakiri=2.5,
        max_messages=9,
        touch_reload=(str(tmp_path / "x"), "/y"),
        queue_share=1.0,
        directory=str(tmp_path),
        paths=(str(tmp_path / "lib"),),
    )


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ('mules = ["", "worker.py"]', ["", "worker.py"]),
        ('mule = "worker.py"', ["worker.py"]),
        ("mules = 2", ["", ""]),
    ],
)
def test_ways_to_give_mules_in_toml(described: Any, tmp_path: Path, toml: str, expected: list[str]) -> None:
    (tmp_path / "b.toml").write_text(toml)
    assert [each.label for each in described("--config=b.toml").mules] == expected


def test_farms_as_strings_in_toml(described: Any, tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text('mules = 2\nfarm = ["f:1", "g:1,2"]')
    assert described("--config=b.toml").farms == (Farm("f", (1,)), Farm("g", (1, 2)))


def test_lists_add_up_and_the_command_line_wins(described: Any, tmp_path: Path) -> None:
    (tmp_path / "u.ini").write_text(
        "[ipcmules]\nbus=i\nmule=worker.py\nlocks=1\nset=a=1\nfarm=f:1\npyargv=ini\n"
    )
    (tmp_path / "b.toml").write_text('mule = "other.py"\nlocks = 2\nset = ["b=2"]\nmule-reload-mercy = 9\n')
    found = described(
        *("--ini=u.ini", "--config=b.toml", "--mule", "--locks=3", "--set=c=3", "--farm=g:3", "--pyargv=line")
    )
    assert [each.label for each in found.mules] == ["worker.py", "other.py", ""]
    assert found.settings == (("a", "1"), ("b", "2"), ("c", "3"))
    assert found.farms == (Farm("f", (1,)), Farm("g", (3,)))
    assert (found.name, found.locks, found.pyargv, found.mercy) == ("i", 3, ("line",), 9.0)


def test_which_name_a_bus_gets(described: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "b.toml").write_text('bus = "file"')
    assert described("--config=b.toml").name == "file"
    monkeypatch.setenv("IPCMULES_BUS", "environment")
    assert described("--config=b.toml").name == "environment"
    assert described("--config=b.toml", "--bus=line").name == "line"


def test_a_config_survives_json(described: Any) -> None:
    found = described("--mule=worker.py", "--mule", "--farm=f:1,2", "--set=a=b", "--pyargv=x", "--", "true")
    assert BusConfig.from_json(found.to_json()) == found


def test_harakiri_of_a_uwsgi_section_is_for_handlers_alone(described: Any, tmp_path: Path) -> None:
    (tmp_path / "u.ini").write_text("[uwsgi]\nmule-harakiri = 4\n")
    (tmp_path / "own.ini").write_text("[ipcmules]\nmule-harakiri = 5\n")
    found = described("--ini", "u.ini")
    assert (found.harakiri, found.handler_harakiri) == (0.0, 4.0)
    assert described("--ini", "own.ini").harakiri == 5.0
    assert described("--ini", "u.ini", "--mule-harakiri", "6").harakiri == 6.0
