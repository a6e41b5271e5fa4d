"""`ipcmules migrate`: each option explained, and a TOML file that makes the bus that the ini file makes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ipcmules.bus.config import BusConfig
from ipcmules.cli import assembly, inifile, migration, toml
from ipcmules.cli.options import Given
from support import run_cli

INI = """
[uwsgi]
base = /srv/app
http = :8080
socket = /run/app.sock
master = true
processes = 4
threads = 2
harakiri = 30
module = app:application
mule
mules = 2
mule = %dworker.py
farm = mail:1,2
locks = 3
mule-reload-mercy = 12.5
set = colour=red
lazy-apps = false
enable-threads
vacuum = true
my-own = %(base)/x "quoted" \\ é
pyargv = a b
max-requests = 1000
static-map = /static=/srv/static
import = json
"""


def bus(path: Path, read: object) -> BusConfig:
    given = Given()
    assert callable(read)
    read(str(path), given)
    return assembly.build(given)


def test_the_same_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IPCMULES_BUS", raising=False)
    (tmp_path / "worker.py").write_text("")
    ini = tmp_path / "app.ini"
    ini.write_text(INI)
    done = run_cli("migrate", "app.ini", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    before, after = bus(ini, inifile.load), bus(tmp_path / "app.toml", toml.load)
    assert after.compat and not before.compat
    data = {**before.to_json(), "compat": True, "options": []}
    settings = after.to_json().pop("settings")
    assert {**after.to_json(), "options": [], "settings": []} == {**data, "settings": []}
    # Those of the server too: libraries ask uwsgi.opt for threads and the like.
    assert [list(each) for each in settings] == [
        ["base", "/srv/app"],
        ["http", ":8080"],
        ["socket", "/run/app.sock"],
        ["master", "true"],
        ["processes", "4"],
        ["threads", "2"],
        ["harakiri", "30"],
        ["colour", "red"],
        ["enable-threads", "true"],
        ["vacuum", "true"],
        ["my-own", '/srv/app/x "quoted" \\ é'],
        ["max-requests", "1000"],
        ["static-map", "/static=/srv/static"],
    ]
    for words in (
        "app.ini:4: http = :8080\n      gunicorn: --bind ADDRESS",
        "worker.py\n      taken over",
        "harakiri = 30\n      gunicorn: --timeout S",
        "and not in the command below:\n  app.ini:24: static-map = ",
        "master = true\n      needs nothing",
        "my-own = ",
        "ipcmules run --config app.toml -- gunicorn --bind 0.0.0.0:8080 "
        "--bind unix:/run/app.sock --workers 4 "
        "--threads 2 --timeout 30 --max-requests 1000 --access-logfile - app:application",
    ):
        assert words in done.stdout, done.stdout


def test_every_line_is_explained_once(tmp_path: Path) -> None:
    (tmp_path / "app.ini").write_text(INI)
    done = run_cli("migrate", "app.ini", "-o", "-", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("# From app.ini")
    for number, line in enumerate(INI.splitlines(), 1):
        expected = 1 if line and line[0] != "[" else 0
        assert done.stderr.count(f"app.ini:{number}: ") == expected, line
    assert not (tmp_path / "app.toml").exists()


def test_conditions_are_for_people(tmp_path: Path) -> None:
    (tmp_path / "c.ini").write_text("[uwsgi]\nif-env = PROD\nmule = a.py\nendif =\nlocks = 1\n")
    done = run_cli("migrate", "c.ini", "-o", "-", cwd=tmp_path)
    assert done.returncode == 0
    said = (
        "c.ini:3: mule = a.py\n      stands in 'if-env = PROD', which does not hold here: left out; "
        "else: taken over"
    )
    assert said in done.stderr
    assert "a.py" not in done.stdout and "PROD" not in done.stdout and "locks = 1" in done.stdout


def test_granian_a_file_that_exists_and_one_that_does_not(tmp_path: Path) -> None:
    (tmp_path / "g.ini").write_text(
        "[uwsgi]\nwsgi-file = sub/site.py\ncallable = app\nhttp-socket = 127.0.0.1:9000\n"
    )
    done = run_cli("migrate", "g.ini", "--server", "granian", cwd=tmp_path)
    assert (
        "-- granian --interface wsgi --host 127.0.0.1 --port 9000 --access-log sub.site:app" in done.stdout
    ), done.stderr
    again = run_cli("migrate", "g.ini", cwd=tmp_path)
    assert again.returncode == 2 and "--force" in again.stderr
    assert run_cli("migrate", "g.ini", "--force", cwd=tmp_path).returncode == 0
    missing = run_cli("migrate", "none.ini", cwd=tmp_path)
    assert (
        missing.returncode == 2 and "No such file" in missing.stderr and os.path.exists(tmp_path / "g.toml")
    )


def test_applications_and_packages_that_the_command_lacks_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ini = tmp_path / "m.ini"
    ini.write_text("[uwsgi]\nmodule = shop\nmount = /a=shop\nmount = /b=other.py\ncache2 = name=x,items=9\n")
    monkeypatch.setattr("ipcmules.cli.migration.find_spec", lambda _name: None)
    notes = "\n".join(migration.read(str(ini), "granian").site.notes)
    assert "serves one application: /a=shop, /b=other.py left out" in notes
    assert "pip install 'ipcmules[cache]'" in notes
    ini.write_text("[uwsgi]\nmodule = shop\nmount = /a=shop\n")
    assert migration.read(str(ini), "granian").site.notes == []


def test_variables_are_options_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an image that sets them."""
    monkeypatch.setenv("UWSGI_PROCESSES", "3")
    monkeypatch.setenv("UWSGI_MULES", "2")
    ini = tmp_path / "u.ini"
    ini.write_text("[uwsgi]\nhttp-socket = 127.0.0.1:9000\nmodule = app\n")
    found = migration.read(str(ini), "gunicorn")
    assert found.command[found.command.index("--workers") + 1] == "3"
    assert 'mule = ["", ""]' in found.toml
    assert "environment variable UWSGI_MULES" in {each.where for each in found.lines}
