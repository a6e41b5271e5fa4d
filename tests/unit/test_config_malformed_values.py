"""Wrong values of every kind of option, in each of the three places they can stand."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from test_config_malformed import COMMAND_LINES, INI_LINES, TOML_FILES, no_bus, refused

__all__ = ["no_bus"]  # a fixture that every test here uses

COUNTS = ["mules", "processes", "locks", "max-requeues", "mule-max-msgs"]
TIMES = ["mule-reload-mercy", "mule-harakiri"]
CHOICES = {
    "on-mule-death": "dead-letter, requeue, drop",
    "on-hook-error": "log, keep",
    "log-format": "text, json",
}

#: Option, text, and what the error must say: on the command line and in an ini file.
TEXTS: list[tuple[str, str, list[str]]] = [
    *(
        (name, text, ["whole number"])
        for name in COUNTS
        for text in ("few", "-1", "1.5", "0x10", "1e3", "", "²")
    ),
    *(
        (name, text, ["seconds"])
        for name in TIMES
        for text in ("soon", "-0.1", "nan", "-inf", "1m", "", "1,5")
    ),
    *(
        (name, text, [f"give one of {words}"])
        for name, words in CHOICES.items()
        for text in ("", "Log", "all", f" {words.split(',')[0]},")
    ),
    *(("queue-share", text, ["above 0, up to 1"]) for text in ("-0.5", "50%", "nan", "", "1e3")),
    *(
        ("bus", text, ["bus name", "1 to 64 letters"])
        for text in (".", "..", "/a", "a/", "-a", ".a", "a b", "ä")
    ),
    *(
        ("farm", text, ["'NAME:1,2'"[1:-1]])
        for text in ("a", "a:", ":", "a:1,", "a:,1", "a:1 2", "a:-1", "a:+1", "a:1:2", "a:x", "a:1.0")
    ),
    *(
        ("mule", text, ["nor package.module:callable"])
        for text in ("x", "x:", ":x", "x:y:z", "x:1", "a b:c", "x.PY")
    ),
    *(("set", text, ["KEY=VALUE"]) for text in ("", "k", "=", " =v")),
    *(("attach-daemon", text, ["is no command"]) for text in ("'open", 'open "', "end \\", "''")),
    *(
        ("attach-daemon", text, ["'none-such'", "not an executable"])
        for text in ("none-such", "none-such -a b")
    ),
    ("attach-daemon", "./notes.txt", ["'./notes.txt'", "not an executable", "attach-daemon"]),
    ("attach-daemon", "", ["is no command"]),
    ("import", "folder.py", ["'folder.py' is a directory"]),
    ("import", "./none.py", ["'./none.py' does not exist"]),
    ("pythonpath", "", ["is no directory"]),
    ("touch-mules-reload", "", ["is no file"]),
]

#: In TOML: which options take what, and values of another type.
TYPES: dict[str, tuple[list[str], list[Any]]] = {
    "whole number": ([*COUNTS], ["'1'", "1.0", "true", "{a = 1}", "1979-05-27"]),
    "a number": ([*TIMES, "queue-share"], ["'1'", "true", "[1]", "{a = 1}"]),
    "a string": (
        [*CHOICES, "bus", "mule", "import", "chdir", "attach-daemon", "touch-mules-reload", "pythonpath"],
        ["1", "0.5", "false", "{a = 'b'}"],
    ),
    "true or false": (["lazy-apps"], ["'yes'", "0", "[true]", "{a = true}"]),
}
TOML = [
    (f"{name} = {value}", [name, expected])
    for expected, (names, values) in TYPES.items()
    for name, value in itertools.product(names, values)
]


@pytest.mark.parametrize(("name", "text", "words"), TEXTS)
def test_on_the_command_line(
    name: str, text: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    refused([f"--{name}={text}"], words, capsys)


@pytest.mark.parametrize(("name", "text", "words"), [each for each in TEXTS if each[1] == each[1].strip()])
def test_in_an_ini_file(name: str, text: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.ini").write_text(f"[ipcmules]\n{name} = {text}\n", encoding="utf-8")
    refused(["--ini=a.ini"], words, capsys)


@pytest.mark.parametrize(("line", "words"), TOML)
def test_in_a_toml_file(line: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.toml").write_text(line, encoding="utf-8")
    refused(["--config=a.toml"], words, capsys)


def test_there_are_more_than_two_hundred() -> None:
    assert len(TEXTS) + len(TOML) + len(COMMAND_LINES) + len(INI_LINES) + len(TOML_FILES) > 250
