"""`ipcmules migrate` on configurations of different kinds: the bus stays the same, the command runs."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from ipcmules.bus.config import BusConfig
from ipcmules.cli import assembly, inifile, migrated_unit, migration, toml, unit
from ipcmules.cli.options import Given
from ipcmules.compat import catalogue

DATA = Path(__file__).resolve().parents[1] / "data" / "uwsgi"
FILES = sorted(each.name for each in DATA.iterdir() if each.is_file())
NAMES = [f"{each}:production" if each == "sections.ini" else each for each in FILES]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with all that the configurations name."""
    shutil.copytree(DATA, tmp_path, dirs_exist_ok=True)
    for each in ("run", "log", "lib", "shop", "spool"):
        (tmp_path / each).mkdir()
    for each in ("site.py", "worker.py", "web-app.py", "lib/site_file.py", "shop/wsgi.py"):
        (tmp_path / each).write_text(
            "def application(environ, start_response):\n    return []\napp = application\n"
        )
    (tmp_path / "worker.count").write_text("6\n")
    for each in ("site.crt", "site.key", "production.conf"):
        (tmp_path / each).write_text("")
    monkeypatch.chdir(tmp_path)
    for each in ("IPCMULES_BUS", "SITE_PORT"):
        monkeypatch.delenv(each, raising=False)
    for name, value in (("WEB_PORT", "8142"), ("SITE_MODULE", "site"), ("SITE_QUEUE", "worker.py")):
        monkeypatch.setenv(name, value)
    return tmp_path


def unit_of(found: migration.Migration) -> str:
    return migrated_unit.of_site("the site", found.bus, found.command, found.site)


def built(given: Given) -> BusConfig:
    return assembly.build(given)


@pytest.mark.parametrize("name", NAMES)
def test_the_bus_stays_the_same(name: str) -> None:
    before, after = Given(), Given()
    inifile.load(name, before)
    found = migration.read(name, "gunicorn")
    Path("out.toml").write_text(found.toml)
    toml.load("out.toml", after)
    differ = {"options": (), "settings": (), "compat": True}
    left = {**built(before).to_json(), **differ}
    # In TOML it guards message hooks too, and migrate says so.
    left["harakiri"], left["handler_harakiri"] = left["harakiri"] or left["handler_harakiri"], 0.0
    assert {**built(after).to_json(), **differ} == left
    kept = dict(built(after).settings)
    assert dict(built(before).settings).items() <= kept.items()
    wanted = dict(before.get("environment", ()))
    got = dict(after.get("environment", ()))
    assert wanted.items() <= got.items() and "." in got["PYTHONPATH"].split(":")
    for field in ("uid", "gid", "hooks_asap", "hooks_before", "hooks_after", "hooks_at_exit", "unset"):
        assert after.get(field, None) == before.get(field, None), field


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_explained(name: str) -> None:
    found = migration.read(name, "gunicorn")
    assert found.lines and all(each.text for each in found.lines)
    missing = {each.key for each in found.lines if each.kind == "missing"}
    given = Given()
    inifile.load(name, given)
    said = {option.partition(" ")[0] for names in given.missing.values() for option in names}
    assert missing == said


COMMANDS = """
simple.ini gunicorn --bind 127.0.0.1:8123 --workers 2 --access-logfile - site:application
simple.ini granian --interface wsgi --host 127.0.0.1 --port 8123 --workers 2 --access-log site:application
simple.ini uvicorn --interface wsgi --host 127.0.0.1 --port 8123 --workers 2 site:application
django.ini gunicorn --bind unix:HERE/run/shop.sock --workers 5 --timeout 20 --max-requests 5000 --umask 0002
    --access-logfile - shop.wsgi:application
django.ini granian --interface wsgi --uds HERE/run/shop.sock --uds-permissions 0664 --workers 5 --access-log
    shop.wsgi:application
flask.ini gunicorn --bind 0.0.0.0:9090 --threads 4 --access-logfile - site:app
flask.ini granian --interface wsgi --host 0.0.0.0 --port 9090 --blocking-threads 4 --access-log site:app
sections.ini gunicorn --bind 127.0.0.1:8124 --workers 2 --access-logfile - site:application
logic.ini uvicorn --interface wsgi --host 127.0.0.1 --port 8126 --workers 3 site:application
docker.ini gunicorn --bind 0.0.0.0:8080 --workers 8 --limit-request-line 0 --limit-request-field_size 32768
    site:application
docker.ini granian --interface wsgi --host 0.0.0.0 --port 8080 --workers 8 --workers-lifetime 3600
    --workers-max-rss 512 site:application
docker.ini uvicorn --interface wsgi --host 0.0.0.0 --port 8080 --workers 8 --no-access-log site:application
gevent.ini gunicorn --bind 127.0.0.1:8127 --workers 2 --access-logfile - --worker-class gevent
    --worker-connections 100 site:application
tls.ini gunicorn --bind 127.0.0.1:8443 --workers 2 --certfile site.crt --keyfile site.key --umask 022
    --access-logfile log/access.log site:application
tls.ini granian --interface wsgi --host 127.0.0.1 --port 8443 --workers 2 --ssl-certificate site.crt
    --ssl-keyfile site.key --access-log site:application
old.ini gunicorn --bind unix:/run/site/site.sock --workers 2 --backlog 256 --access-logfile -
    lib.site_file:application
tutorial.ini gunicorn --bind unix:site.sock --workers 3 --umask 0007 --access-logfile - site:application
tutorial.ini uvicorn --interface wsgi --uds site.sock --workers 3 site:application
commented.ini gunicorn --bind localhost:8132 --workers 4 --timeout 45 --access-logfile - site:application
factory.ini gunicorn --bind 127.0.0.1:8133 --access-logfile - 'site:create_app()'
factory.ini granian --interface wsgi --host 127.0.0.1 --port 8133 --access-log --factory site:create_app
factory.ini uvicorn --interface wsgi --host 127.0.0.1 --port 8133 --factory site:create_app
magic.ini gunicorn --bind unix:HERE/magic.sock
    --access-logfile - --name magic site:application
deployments.ini gunicorn --bind 127.0.0.1:3032 --workers 2 --access-logfile - wsgi:application
kubernetes.ini gunicorn --bind 0.0.0.0:8134 --workers 4 --access-logfile - site:application
addresses.ini gunicorn --bind '[::1]:8135' --bind 127.0.0.1:8136 --bind unix:@site --threads 2
    --access-logfile - site:application
addresses.ini granian --interface wsgi --host ::1 --port 8135 --blocking-threads 2 --access-log
    site:application
mounted.ini gunicorn --bind 127.0.0.1:8137 --access-logfile - --env SCRIPT_NAME=/shop shop.wsgi:application
mounted.ini granian --interface wsgi --host 127.0.0.1 --port 8137 --url-path-prefix /shop --access-log
    shop.wsgi:application
mounted.ini uvicorn --interface wsgi --host 127.0.0.1 --port 8137 --root-path /shop shop.wsgi:application
paste.ini gunicorn --bind 127.0.0.1:8138 --workers 2 --access-logfile - --paste HERE/production.conf
dashes.ini gunicorn --bind 127.0.0.1:8139 --access-logfile - web-app:app
environment.ini granian --interface wsgi --host 0.0.0.0 --port 8142 --workers 6 --access-log site:application
included.ini gunicorn --bind 127.0.0.1:8140 --workers 2 --access-logfile - site:application
worker.yml uvicorn --interface wsgi --host 127.0.0.1 --port 8141 lib.site_file:application
limits.ini gunicorn --bind 127.0.0.1:3034 --limit-request-line 0 --limit-request-field_size 65535 --umask 027
    --access-logfile - site:application
"""


@pytest.mark.parametrize("line", COMMANDS.replace("\n    ", " ").strip().splitlines())
def test_the_command(line: str, here: Path) -> None:
    name, server, *expected = shlex.split(line.replace("HERE", str(here)))
    found = migration.read(next(each for each in NAMES if each.startswith(name)), server)
    words = found.command[found.command.index("--") + 1 :]
    assert words == [server, *expected]


def test_what_a_command_cannot_have_is_said() -> None:
    said = {
        ("addresses.ini", "granian"): ["listens at one address", "127.0.0.1:8136, unix:@site", "abstract"],
        ("addresses.ini", "gunicorn"): ["abstract"],
        ("paste.ini", "granian"): ["no Paste files", "is not in"],
        ("mounted.ini", "uvicorn"): ["adds /shop"],
        ("django.ini", "granian"): ["no timeout for a request"],
        ("tls.ini", "uvicorn"): ["stays in the foreground"],
        ("gevent.ini", "granian"): ["no greenlets"],
        ("tutorial.ini", "uvicorn"): ["mode 666, not 660"],
    }
    for (name, server), words in said.items():
        notes = "\n".join(migration.read(name, server).site.notes)
        assert [each for each in words if each not in notes] == [], notes


def test_packages_that_gevent_workers_need_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipcmules.cli.serving.find_spec", lambda name: None)
    (note,) = migration.read("gevent.ini", "gunicorn").site.notes
    assert note.endswith("need packages: pip install gevent packaging")


def test_the_program_of_a_virtual_environment_is_named_by_its_path(here: Path) -> None:
    (here / "env" / "bin").mkdir(parents=True)
    for each in ("gunicorn", "ipcmules"):
        (here / "env" / "bin" / each).write_text("")
    found = migration.read("old.ini", "gunicorn")
    assert found.command[0] == f"{here}/env/bin/ipcmules"
    assert found.command[found.command.index("--") + 1] == f"{here}/env/bin/gunicorn"
    assert f"ExecStart={here}/env/bin/ipcmules run --config old.toml" in unit_of(found)


@pytest.mark.parametrize("owner", [0, 9999])
def test_a_user_without_a_home_gets_a_state_directory(
    monkeypatch: pytest.MonkeyPatch, here: Path, owner: int
) -> None:
    account = SimpleNamespace(pw_uid=9999, pw_gid=9999, pw_dir=str(here))
    with monkeypatch.context() as patched:
        patched.setattr("pwd.getpwnam", lambda _name: account)
        patched.setattr("os.stat", lambda _path: SimpleNamespace(st_uid=owner))
        found = migration.read("tls.ini", "gunicorn")
    text = unit_of(found)
    made = 'exec-as-root = "install -d -m 700 -o www-data -g 9999 /var/lib/ipcmules/tls"'
    for words, where in (
        (made, found.toml),
        ("IPCMULES_STATE_DIR=/var/lib/ipcmules/tls", found.toml),
        ("StateDirectory=ipcmules/tls\n", text),
    ):
        assert (words in where) is (owner == 0), where


@pytest.mark.parametrize("server", catalogue.SERVERS)
def test_the_server_takes_the_command(server: str) -> None:
    """By the server's own parser, values included."""
    pytest.importorskip(server)
    for name in NAMES:
        words = migration.read(name, server).command
        try:
            _PARSERS[server](words[words.index("--") + 2 :])
        except (Exception, SystemExit) as error:
            raise AssertionError(f"{name}: {error}: {words}") from error


def _gunicorn(words: list[str]) -> None:
    from gunicorn.config import Config
    from gunicorn.util import parse_address

    config = Config()
    for key, value in vars(config.parser().parse_args(words)).items():
        if value is not None and key != "args":
            config.set(key.lower(), value)
    assert [parse_address(each) for each in config.bind]


def _granian(words: list[str]) -> None:
    from granian.cli import cli

    with cli.make_context("granian", words):
        pass


def _uvicorn(words: list[str]) -> None:
    from uvicorn.main import main

    with main.make_context("uvicorn", words):
        pass


_PARSERS = {"gunicorn": _gunicorn, "granian": _granian, "uvicorn": _uvicorn}


def test_units(here: Path) -> None:
    for name in NAMES:
        found = migration.read(name, "gunicorn")
        text = unit_of(found)
        assert f"WorkingDirectory={here}\n" in text and "ExecStart=/" in text
        (here / f"{name.partition('.')[0]}.service").write_text(text)
    tls = (here / "tls.service").read_text()
    assert "User=www-data\n" in tls
    assert re.search(rf"ExecStartPre=\+\S+/touch {here}/log/site.log\n", tls)
    assert re.search(rf"ExecStartPre=\+\S+/chown \S+ {here}/log/site.log\n", tls)
    assert "UMask=022\n" in tls and "LimitNOFILE=4096\n" in tls
    assert "RuntimeDirectory=ipcmules-default site\n" in (here / "old.service").read_text()
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze to verify units with")
    units = [str(each) for each in here.glob("*.service")]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if str(here) in line or ".service:" in line]
    assert [line for line in complaints if "not executable" not in line] == []


def test_words_that_a_unit_must_quote() -> None:
    assert unit.word('a "b" $c 100%') == '"a \\"b\\" $$c 100%%"'
    assert unit.word("plain") == "plain"
