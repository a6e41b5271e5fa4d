"""`ipcmules service`: a unit from the arguments of run, which systemd-analyze takes."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from ipcmules.cli import unit
from ipcmules.cli.unit import Unit
from support import run_cli


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "my site 100%"
    directory.mkdir()
    (directory / "app.py").write_text("")
    monkeypatch.chdir(directory)
    monkeypatch.delenv("IPCMULES_BUS", raising=False)
    return directory


def written(*arguments: str, code: int = 0) -> dict[str, list[str]]:
    """The lines of the unit that goes to stdout, by key."""
    done = run_cli("service", "--output", "-", *arguments)
    assert done.returncode == code, done.stderr
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        key, sign, value = line.partition("=")
        if sign:
            found.setdefault(key, []).append(value)
    return found


def test_what_is_in_a_unit(here: Path) -> None:
    found = written(
        *(
            "--bus",
            "shop",
            "--mules",
            "2",
            "--import",
            "app.py",
            "--mule-reload-mercy",
            "7.5",
            "--user",
            "daemon",
        ),
        *("--", "sh", "-c", "echo 100% $HOME; sleep 9"),
    )
    program, shell = unit.launcher()[0], shutil.which("sh")
    assert found["ExecStart"] == [
        f"{program} run --bus shop --mules 2 --import app.py --mule-reload-mercy 7.5 -- {shell} -c "
        '"echo 100%% $$HOME; sleep 9"'
    ]
    assert found["ExecReload"] == [f"{unit.launcher()[0]} reload --bus shop"]
    assert found["WorkingDirectory"] == [str(here).replace("%", "%%")]
    for key, value in (
        ("Type", "notify"),
        ("NotifyAccess", "main"),
        ("WatchdogSec", "30"),
        ("KillMode", "mixed"),
        ("TimeoutStopSec", "38"),
        ("User", "daemon"),
        ("RuntimeDirectory", "ipcmules-shop"),
        ("RuntimeDirectoryPreserve", "yes"),
        ("StateDirectory", "ipcmules-shop"),
        ("OOMPolicy", "continue"),
        ("LimitNOFILE", "1024:524288"),
    ):
        assert found[key] == [value], key
    assert int(found["LimitMSGQUEUE"][0]) >= 819200


def test_the_name_stands_in_the_unit_wherever_it_comes_from(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "bus.toml").write_text('bus = "from-file"\nmule = [""]\n')
    found = written("--config", "bus.toml")
    assert " run --bus from-file --config bus.toml" in found["ExecStart"][0]
    monkeypatch.setenv("IPCMULES_BUS", "from-environment")
    found = written("--config", "bus.toml")
    assert " run --bus from-environment --config" in found["ExecStart"][0]


def test_own_options_do_not_go_to_run(here: Path) -> None:
    found = written("--user=daemon", "--mule", "--force", "--farm", "a:1", "--log-format", "json")
    assert found["ExecStart"] == [
        f"{unit.launcher()[0]} run --bus default --mule --farm a:1 --log-format json"
    ]


def test_a_bus_that_needs_larger_limits(here: Path) -> None:
    assert int(written("--mules", "40")["LimitMSGQUEUE"][0]) > 819200


def test_a_unit_that_starts_as_root_and_drops(here: Path) -> None:
    """What systemd makes belongs to root, whom the bus is not: it has its usual directories."""
    (here / "site.ini").write_text("[uwsgi]\nuid = daemon\nmule\nexec-as-root = true\n")
    found = written("--ini", "site.ini")
    assert not {"User", "RuntimeDirectory", "StateDirectory"} & set(found)
    assert found["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    (here / "site.ini").write_text("[uwsgi]\nuid = daemon\nmule\n")
    assert written("--ini", "site.ini")["User"] == ["daemon"]


def test_the_file_is_written_once_and_explained(here: Path) -> None:
    done = run_cli("service", "--bus", "shop", "--mule", "--user", "daemon")
    path = here / "ipcmules-shop.service"
    assert done.returncode == 0 and path.is_file(), done.stderr
    assert "sudo systemctl enable --now ipcmules-shop.service" in done.stderr
    assert "sudo -u daemon IPCMULES_RUNTIME_DIR=/run/ipcmules-shop/ipcmules" in done.stderr
    again = run_cli("service", "--bus", "shop", "--mule", "--user", "daemon")
    assert again.returncode == 2 and "ipcmules-shop.service exists: add --force" in again.stderr
    assert run_cli("service", "--bus", "shop", "--mule", "--user", "daemon", "--force").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mule", "--user", "nobody-here"], "--user: there is no user 'nobody-here'"),
        (["--import", "missing.py"], "import 'missing.py' does not exist"),
        (["--mule", "--", "no-such-program"], "command 'no-such-program' is not an executable program"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_what_run_refuses_is_refused(arguments: list[str], words: str) -> None:
    done = run_cli("service", *arguments)
    assert done.returncode == 2 and words in done.stderr, done.stderr


def test_what_systemd_says_of_it(here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze to verify units with")
    assert run_cli("service", "--mule", "--user", "daemon").returncode == 0
    bad = unit.text(Unit("shop", "a bus", ["/no/such/ipcmules", "run"], 60, more=["NoSuchKey=1"]))
    said = "\n".join(unit.complaints("shop.service", bad) or [])
    assert "NoSuchKey" in said and "/no/such/ipcmules" in said, said
    monkeypatch.setenv("PATH", str(tmp_path))
    assert unit.complaints("shop.service", bad) is None


def test_the_command_of_a_unit_starts_that_bus(here: Path) -> None:
    """As systemd reads it: words by its rules, which are a shell's for what is written here."""
    found = written("--bus", "shop", "--mule", "--log-format", "json", "--spooler", "my spool")
    words = shlex.split(found["ExecStart"][0].replace("%%", "%").replace("$$", "$"))
    done = subprocess.run(
        [*words[:1], "doctor", *words[2:]], cwd=here, capture_output=True, text=True, check=False
    )
    assert "1 mules, 0 farms, 0 workers, 1 locks, 1 spoolers" in done.stdout, done.stdout + done.stderr
