"""Crons, timers and monitors as options: what each becomes, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ipcmules import Bus
from ipcmules.bus.config import BusConfig, CronCommand, SignalEvent
from ipcmules.cli import main as cli
from ipcmules.errors import ConfigError
from ipcmules.events import texts
from ipcmules.master import run as master


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A function from a command line of `ipcmules run` to the BusConfig that the master would get."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IPCMULES_BUS", raising=False)
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


CRONS = (
    CronCommand("59 2 -1 -1 -1", "echo  two   spaces"),
    CronCommand("*/5 * * * mon-fri", "true"),
    CronCommand("@daily", "a b"),
    CronCommand("-5 -1 -1 -1 -1", "once", unique=True),
    CronCommand("0 -2 -1 -1 7", "x y", unique=True, harakiri=60),
    CronCommand("* * * * *", "every minute"),
)


def events(directory: Path) -> tuple[SignalEvent, ...]:
    return (
        SignalEvent("timer", 17, 30.0),
        SignalEvent("timer", 18, 0.5),
        SignalEvent("rbtimer", 19, 2.0),
        SignalEvent("rbtimer", 20, 0.0, 3),
        SignalEvent("touch", 21, path=str(directory / "a file")),
        SignalEvent("file", 22, path="/tmp/x"),
    )


def test_the_command_line(described: Any, tmp_path: Path) -> None:
    found = described(
        *(
            "--cron",
            "59 2 -1 -1 -1 echo  two   spaces",
            "--cron=*/5 * * * mon-fri true",
            "--cron",
            "@daily a b",
        ),
        *("--unique-cron", "-5 -1 -1 -1 -1 once", "--cron-harakiri", "5.5"),
        *("--cron2", "minute=0,hour=-2,week=7,unique=1,harakiri=60 x y", "--cron2", "every minute"),
        *("--signal-timer", "17 30", "--timer=18 0.5", "--signal-rbtimer=19 2", "--rbtimer", "20 0 3"),
        *("--touch-signal", "a file 21", "--fs-signal=/tmp/x 22"),
    )
    assert sorted(found.crons, key=repr) == sorted(CRONS, key=repr)
    assert found.cron_harakiri == 5.5
    assert found.signal_events == events(tmp_path)
    assert BusConfig.from_json(found.to_json()) == found


def test_an_ini_file_and_toml(described: Any, tmp_path: Path) -> None:
    (tmp_path / "u.ini").write_text(
        "[uwsgi]\ncron = 59 2 -1 -1 -1 echo  two   spaces\ncron = */5 * * * mon-fri true\n"
        "cron = @daily a b\nunique-cron = -5 -1 -1 -1 -1 once\ncron-harakiri = 5\n"
        "cron2 = minute=0,hour=-2,week=7,unique=1,harakiri=60 x y\ncron2 = every minute\n"
        "timer = 17 30\nsignal-timer = 18 0.5\nrbtimer = 19 2\nsignal-rbtimer = 20 0 3\n"
        "touch-signal = a file 21\nfs-signal = /tmp/x 22\n"
    )
    found = described("--ini", "u.ini")
    assert (found.crons, found.cron_harakiri, found.signal_events) == (CRONS, 5.0, events(tmp_path))
    (tmp_path / "b.toml").write_text(
        'cron = ["59 2 -1 -1 -1 echo  two   spaces", "*/5 * * * mon-fri true", "@daily a b"]\n'
        'unique-cron = "-5 -1 -1 -1 -1 once"\ncron-harakiri = 5\n'
        'cron2 = ["minute=0,hour=-2,week=7,unique=1,harakiri=60 x y", "every minute"]\n'
        'signal-timer = ["17 30", "18 0.5"]\nsignal-rbtimer = ["19 2", "20 0 3"]\n'
        'touch-signal = "a file 21"\nfs-signal = ["/tmp/x 22"]\n'
    )
    assert described("--config", "b.toml") == found


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--cron", "", ["is no cron", "MINUTE HOUR DAY MONTH WEEKDAY COMMAND"]),
        ("--cron", "1 2 3 4 5", ["'1 2 3 4 5' is no cron"]),
        ("--cron", "60 2 3 4 5 true", ["'60' is no minute", "give 0 to 59"]),
        ("--cron", "x 2 3 4 5 true", ["'x' is no minute"]),
        ("--cron", "0 0 30 2 * true", ["never comes"]),
        ("--cron", "@often true", ["'@often' has 1 field(s)", "@daily"]),
        ("--cron", "@daily", ["is no cron"]),
        ("--unique-cron", "backup", ["is no cron"]),
        ("--cron2", "", ["no command"]),
        ("--cron2", "minute=5", ["no command"]),
        ("--cron2", "minuet=5 x", ["did you mean 'minute'"]),
        ("--cron2", "minute=99 x", ["'99' is no minute"]),
        ("--cron2", "minute=5,7 x", ["'7' is no KEY=VALUE"]),
        ("--cron2", "unique=2 x", ["'2' is no unique", "0 to 1"]),
        ("--cron2", "harakiri=-1 x", ["'-1' is no harakiri"]),
        ("--cron2", "legion=a x", ["no legions here"]),
        ("--cron-harakiri", "-1", ["seconds, 0 or more"]),
        ("--signal-timer", "17", ["SIGNAL SECONDS"]),
        ("--signal-timer", "17 30 2", ["SIGNAL SECONDS"]),
        ("--signal-timer", "256 30", ["'256' is no signal", "0 to 255"]),
        ("--signal-timer", "-1 30", ["'-1' is no signal"]),
        ("--signal-timer", "1 soon", ["'soon' is no time"]),
        ("--signal-timer", "1 0", ["a millisecond or more"]),
        ("--signal-timer", "1 nan", ["a millisecond or more"]),
        ("--signal-rbtimer", "1 0", ["a millisecond or more"]),
        ("--signal-rbtimer", "1 1 x", ["'x' is no iterations"]),
        ("--signal-rbtimer", "1 1 1 1", ["SIGNAL SECONDS [ITERATIONS]"]),
        ("--touch-signal", "file", ["FILE SIGNAL"]),
        ("--touch-signal", "file 300", ["'300' is no signal"]),
        ("--fs-signal", " 3", ["FILE SIGNAL"]),
    ],
)
def test_what_is_refused(
    option: str, value: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", f"{option}={value}"])
    text = capsys.readouterr().err
    assert ended.value.code == 2, text
    assert text.startswith(f"ipcmules: error: {option}: ")
    assert text.count("\n") == 1
    for word in words:
        assert word in text


def test_a_command_with_an_equals_sign_in_cron2() -> None:
    # Its first word would be read as keys, in uWSGI as well.
    with pytest.raises(ConfigError, match="keys are minute, hour"):
        texts.cron2("A=1 command")
    assert texts.cron2("week=1 A=1 command").command == "A=1 command"


def test_crons_of_an_embedded_bus() -> None:
    bus = Bus(crons=["@daily a", CronCommand("* * * * *", "b", unique=True, harakiri=5)], cron_harakiri=9)
    assert bus._config.crons == (CronCommand("@daily", "a"), CronCommand("* * * * *", "b", True, 5))
    assert bus._config.cron_harakiri == 9
    for wrong in (
        "@daily a",
        [3],
        ["a"],
        [CronCommand("x", "y")],
        [CronCommand("* * * * *", "y", harakiri=-1)],
    ):
        with pytest.raises(ConfigError):
            Bus(crons=wrong)  # type: ignore[arg-type]
