"""What released versions wrote is read: their messages, tasks and signals arrive, and their buses are known.

The samples were written by those versions themselves: tests/samples/README.md.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import posix_ipc
import pytest

import ipcmules
from conftest import BusEnvironment
from ipcmules.bus import description, table
from ipcmules.bus.places import places, private_directory, private_state
from ipcmules.errors import AccessError, FormatError
from support import Launcher, run_cli, wait_until

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
VERSIONS = sorted(path.parent.name for path in SAMPLES.glob("*/bus.json"))
OPTIONS = ("--mule=app:program", "--mule=app:program", "--farm", "mail:1", "--import", "app")


@pytest.fixture(params=VERSIONS)
def sample(request: pytest.FixtureRequest) -> Path:
    """The directory of a version's samples."""
    return SAMPLES / str(request.param)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory with the app of the samples."""
    shutil.copy(SAMPLES / "app.py", tmp_path)
    return tmp_path


def start(bus: str, home: Path, *options: str, **environment: str) -> Launcher:
    """A bus of today's version with the samples' app; its mules begin at once, unless GATE says when."""
    environment = {**os.environ, "GATE": str(home / "app.py"), **environment}
    return Launcher("--bus", bus, *OPTIONS, *options, cwd=home, env=environment)


def unpack(archive: Path, where: Path) -> Path:
    """Put back a packed directory with modes and times."""
    where.mkdir(mode=0o700, parents=True)
    with tarfile.open(archive) as tar:
        for each in tar.getmembers():
            path = where / each.name
            content = tar.extractfile(each)
            if content is None:
                path.mkdir()
            else:
                path.write_bytes(content.read())
            path.chmod(each.mode)
            os.utime(path, (each.mtime, each.mtime))
    return where


def cli(bus: str, *arguments: str) -> str:
    done = run_cli(*arguments, "--bus", bus)
    assert done.returncode == 0, done
    return done.stdout


# What outlives a bus


def test_dead_letters_are_listed_shown_and_sent_again(
    bus_env: BusEnvironment, bus_name: str, sample: Path, home: Path
) -> None:
    unpack(sample / "state.tar.gz", bus_env.state / bus_name)
    killed, unread = json.loads(cli(bus_name, "dead", "list", "--json"))
    assert (killed["target"], killed["mule"], killed["attempts"], killed["length"]) == (
        "mule1",
        "mule1",
        1,
        7,
    )
    assert "SIGKILL" in killed["reason"] and "hook" in unread["reason"] and unread["target"] == "mule2"
    assert "kill me" in cli(bus_name, "dead", "show", killed["id"])
    with start(bus_name, home) as launcher:
        assert cli(bus_name, "dead", "drop", killed["id"]) == "1 dead letter dropped\n"
        assert cli(bus_name, "dead", "requeue", "--all") == "1 dead letter sent again\n"
        launcher.wait_output("message for a mule without a hook\n")
    assert cli(bus_name, "dead", "list") == "no dead letters\n"


def test_a_start_takes_kept_messages_and_pending_signals(
    bus_env: BusEnvironment, bus_name: str, sample: Path, home: Path
) -> None:
    state = unpack(sample / "state.tar.gz", bus_env.state / bus_name)
    with start(bus_name, home) as launcher:
        for text in ("urgent", "first", "second", "third", "to the farm", "to the pool"):
            launcher.wait_output(f"message {text}\n")
        wait_until(lambda: launcher.stdout.count("signal") == 4, what="four signals")
        said = launcher.stdout.splitlines()
    own = [line for line in said if line.split()[-1] in ("urgent", "first", "second", "third")]
    assert own == ["message urgent", "message first", "message second", "message third"]
    assert sorted(line for line in said if line.startswith("signal")) == [
        *["signal 17"] * 2,
        "signal 18",
        "signal 19",
    ]
    assert sum(line.startswith("message") for line in said) == 6
    assert len(json.loads(cli(bus_name, "dead", "list", "--json"))) == 2  # and the dead letters stay
    assert not re.search("error|warning|Traceback", launcher.stderr)
    assert (state / "crons.json").exists()


def test_tasks_of_every_kind_run(bus_env: BusEnvironment, bus_name: str, sample: Path, home: Path) -> None:
    spool = unpack(sample / "spool.tar.gz", home / "spool")

    def tasks() -> dict[str, list[Any]]:
        """ID, state and attempts of each task, by what it is about."""
        found = json.loads(run_cli("tasks", "list", "--dir", str(spool), "--json").stdout)
        whole = [json.loads(run_cli("tasks", "show", "--json", each["path"]).stdout) for each in found]
        return {about(each["arguments"]): [each["id"], each["state"], each["attempts"]] for each in whole}

    before = tasks()
    assert {key: tuple(rest) for key, (_id, *rest) in before.items()} == {
        "dead": ("dead", 1),
        "dies": ("queued", 0),
        "failed": ("queued", 1),
        "later@example.org": ("scheduled", 0),
        "plain": ("queued", 0),
        "priority": ("queued", 0),
        "someone@example.org": ("queued", 0),
        "in the body": ("queued", 0),
    }
    with start(bus_name, home, "--spooler", str(spool)) as launcher:
        for line in ("invoice 1 someone@example.org", f"invoice 2 {'x' * 70_000}", "plain plain the body"):
            launcher.wait_output(f"{line}\n")
        launcher.wait_output("brittle priority\n")
        launcher.wait_output("brittle failed\n")
        # Its spooler was killed with it in hand: that is an attempt, and it waits.
        wait_until(lambda: tasks().get("dies", before["dies"])[1:] == ["scheduled", 1], what="the attempt")
        for key in ("dies", "dead", "later@example.org"):
            cli(bus_name, "tasks", "retry", before[key][0])
        for line in ("brittle dies", "hopeless dead", "invoice 3 later@example.org"):
            launcher.wait_output(f"{line}\n")
    assert not [path for path in spool.rglob("*") if path.is_file()]


def about(arguments: dict[str, Any]) -> str:
    """What a task of the samples is about: its key, or the address of its invoice."""
    text = str(arguments.get("key") or arguments["args"])
    found = re.search(r"[a-z]+@example.org", text)
    return found[0] if found else text if "key" in arguments else "in the body"


# What a bus that runs, or was killed, says of itself


def put_bus(sample: Path, name: str, **changes: Any) -> None:
    """Put the description and the table of a sample where those of the bus `name` stand."""
    where = places(name)
    private_directory(os.path.dirname(where.runtime))
    text = (sample / "bus.json").read_text()
    prefix = where.table.removesuffix("table")
    data = {**json.loads(re.sub(r"/ipcmules\.\d+\.\w+\.sample\.", prefix, text)), **changes}
    data["config"]["name"] = name
    os.makedirs(where.runtime, mode=0o700)
    Path(where.description).write_text(json.dumps(data))
    content = gzip.decompress((sample / "table.gz").read_bytes())
    segment = posix_ipc.SharedMemory(where.table, posix_ipc.O_CREX, mode=0o600, size=len(content))
    os.pwrite(segment.fd, content, 0)
    segment.close_fd()


@pytest.fixture
def old_bus(bus_env: BusEnvironment, bus_name: str, sample: Path) -> Iterator[dict[str, Any]]:
    """A bus of that version, as its master's SIGKILL leaves it; what is in its table."""
    put_bus(sample, bus_name)
    yield json.loads((sample / "table.json").read_text())
    where = places(bus_name)
    if os.path.exists(where.runtime):
        shutil.rmtree(where.runtime)
        posix_ipc.unlink_shared_memory(where.table)


def test_its_description_is_read_or_refused_in_words(
    old_bus: dict[str, Any], bus_name: str, sample: Path
) -> None:
    where = places(bus_name)
    if json.loads((sample / "bus.json").read_text())["format"] != description.FORMAT:
        with pytest.raises(FormatError, match=f"was started by ipcmules {re.escape(sample.name)}"):
            description.load(where)
        return
    found = description.load(where)
    assert found and found.complete and found.generation == old_bus["generation"]
    assert [(each.name, each.mules) for each in found.config.farms] == [("mail", (1,))]
    assert [str(each) for each in found.config.mules] == ["app:program"] * 2
    assert [each.endpoint for each in found.queues] == ["pool", "mule1", "mule2", "farm.mail"]


def test_its_table_is_read_or_refused_in_words(old_bus: dict[str, Any], bus_name: str, sample: Path) -> None:
    name = places(bus_name).table
    if old_bus["magic"] != table.MAGIC:
        with pytest.raises(AccessError, match="not a table of this version"):
            table.open(name)
        return
    found = table.open(name)
    assert found.layout._asdict() == old_bus["layout"]
    assert found.cells[table.H_GENERATION] == old_bus["generation"]
    assert {str(each): found.text(each, table.E_TARGET) for each in (17, 18, 19)} == old_bus["signals"]
    assert [found.cells[found.mule(each) + table.R_PID] for each in (1, 2)] == old_bus["mule pids"]


def test_a_bus_that_was_killed_is_taken_over_with_its_signals_or_refused_in_words(
    old_bus: dict[str, Any], bus_name: str, home: Path, sample: Path
) -> None:
    if json.loads((sample / "bus.json").read_text())["format"] != description.FORMAT:
        refused = run_cli("run", "--bus", bus_name, "--", "true")
        assert refused.returncode == 1
        assert f"was started by ipcmules {sample.name}" in refused.stderr
        return
    with start(bus_name, home) as launcher:
        wait_until(lambda: launcher.stdout.count("signal") == 4, what="four signals")
    assert "Traceback" not in launcher.stderr


#: As bus.json of another version may be.
OTHERS: list[dict[str, Any]] = [
    {"version": "9.0", "format": 9},
    {"version": "0.0.9", "format": 0},
    {"version": "9.0", "config": {"name": "x", "wings": 2}},
    {"version": "9.0", "queues": [{"endpoint": "pool", "name": "/q", "depth": 1, "size": 1, "lanes": 3}]},
    {"version": "9.0", "queues": 3},
    {"version": "9.0", "master": [1, 2]},
    {"version": "9.0", "semaphores": None},
]


@pytest.mark.parametrize("changes", OTHERS, ids=str)
def test_a_description_of_another_version_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bus_name: str, changes: dict[str, Any]
) -> None:
    monkeypatch.setenv("IPCMULES_RUNTIME_DIR", str(tmp_path / "run"))
    where = places(bus_name)
    os.makedirs(where.runtime, mode=0o700)
    data = json.loads((SAMPLES / VERSIONS[-1] / "bus.json").read_text())
    Path(where.description).write_text(json.dumps({**data, **changes}))
    with pytest.raises(FormatError) as caught:
        description.load(where)
    assert f"was started by ipcmules {changes['version']}" in str(caught.value)
    assert "stop or clean it with the version that started it" in str(caught.value)
    assert description.read(where) is None
    listed = run_cli("tasks", "list", "--bus", bus_name)
    assert listed.returncode == 1 and str(caught.value) in listed.stderr, listed
    assert "Traceback" not in listed.stderr


def test_a_running_bus_whose_table_is_another_versions(
    bus_env: BusEnvironment, bus_name: str, home: Path
) -> None:
    """Nothing can be read off it: every command says that, and the bus stays as it is."""
    with start(bus_name, home, "--spooler", "spool"):
        shared = table.open(places(bus_name).table)
        for magic in (table.MAGIC + (1 << 56), table.MAGIC - (1 << 56)):
            shared.cells[table.H_MAGIC] = magic
            for arguments in (
                ["status"],
                ["status", "--json"],
                ["msg", "x"],
                ["signal", "17"],
                ["reload"],
                ["dead", "requeue", "--all"],
            ):
                done = run_cli(*arguments, "--bus", bus_name)
                assert done.returncode == 1, (arguments, done)
                assert "is not a table of this version of ipcmules" in done.stderr, (arguments, done)
                assert "Traceback" not in done.stderr, done
            with pytest.raises(AccessError, match="not a table of this version"):
                ipcmules.attach(bus_name)
        shared.cells[table.H_MAGIC] = table.MAGIC
        assert run_cli("status", "--bus", bus_name).returncode == 0


#: As signals.json of an older version, or of a disk that is going bad, may be.
SIGNALS = [
    '{"1": {"pending": {"mule1": [[18, 1, "urgent"]]}, "entries": [], "taken": true}}',
    '{"1": {"pending": {"mule1": {"18": 1}}, "entries": [], "taken": true}}',
    '{"1": {"pending": {"mule1": [[300, 1]]}, "entries": [], "taken": true}}',
    '{"1": {"pending": {"mule1": [[18, "1"]]}, "entries": [], "taken": true}}',
    '{"1": {"pending": {}, "entries": [[18, "zz"]], "taken": true}}',
    '{"1": {"counts": {}}}',
    '{"1": []}',
    "[]",
    '{"1": {"pend',
]


@pytest.mark.parametrize("text", SIGNALS)
def test_saved_signals_that_cannot_be_read_are_kept_and_said(
    bus_env: BusEnvironment, bus_name: str, home: Path, text: str
) -> None:
    state = Path(private_state(places(bus_name)))
    (state / "signals.json").write_text(text)
    with start(bus_name, home) as launcher:
        launcher.wait_output("entered")
    (aside,) = state.glob("signals-*.json.older.unread.*")
    assert aside.read_text() == text
    assert f"saved signals in {places(bus_name).signals}.older cannot be read" in launcher.stderr
    assert str(aside) in launcher.stderr and "Traceback" not in launcher.stderr
