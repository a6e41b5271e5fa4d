"""Wrong input: every line is refused with exit code 2, before any process starts, by one line on stderr
that names the value, where it stood, the reason and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipcmules.bus.config import farm, program
from ipcmules.cli import main as cli
from ipcmules.cli.options import OPTIONS, Given
from ipcmules.errors import ConfigError
from ipcmules.master import run as master

#: Arguments of `ipcmules run`, and what the error must say.
COMMAND_LINES: list[tuple[list[str], list[str]]] = [
    (["--mules", "many"], ["--mules", "'many'", "whole number from 0 to 4096"]),
    (["--mules=-1"], ["--mules", "'-1'", "whole number"]),
    (["--mules=1_0"], ["--mules", "'1_0'", "whole number"]),
    (["--mules=٣"], ["--mules", "'٣'", "whole number"]),
    (["--mules=5000"], ["--mules", "'5000'", "from 0 to 4096"]),
    (["--mules=" + "9" * 5000], ["--mules", "whole number"]),
    (["--mules=4000", "--mules=4000"], ["8000 mules are too many", "at most 4096"]),
    (["--mules"], ["--mules", "requires an argument"]),
    (["--mule", "worker.py"], ["'worker.py' after --mule", "--mule=worker.py"]),
    (["--mule=worker"], ["--mule", "'worker'", ".py nor package.module:callable"]),
    (["--mule=pkg:"], ["--mule", "'pkg:'", "package.module:callable"]),
    (["--mule=no/such.py"], ["mule program 'no/such.py'", "does not exist in", "--chdir"]),
    (["--mule=folder.py"], ["mule program 'folder.py'", "is a directory"]),
    (["--farm", "mail"], ["--farm", "'mail'", "NAME:1,2"]),
    (["--farm", "mail:"], ["--farm", "'mail:'", "NAME:1,2"]),
    (["--farm", "mail:a"], ["--farm", "'mail:a'", "NAME:1,2"]),
    (["--farm", ":1"], ["--farm", "':1'", "NAME:1,2"]),
    (["--farm", "mail:1,,2"], ["--farm", "'mail:1,,2'", "NAME:1,2"]),
    (["--mules=1", "--farm", "mail:2"], ["farm 'mail' names mule 2", "has 1 mule", "add --mule"]),
    (["--mules=1", "--farm", "mail:0"], ["farm 'mail' names mule 0"]),
    (["--mules=1", "--farm", "mail:1,1"], ["farm 'mail'", "once"]),
    (["--mules=1", "--farm", "a:1", "--farm", "a:1"], ["farm 'a' is given twice"]),
    (["--mules=1", "--farm", "a/b:1"], ["farm name 'a/b'", "letters, digits"]),
    (["--processes=x"], ["--processes", "'x'", "whole number"]),
    (["--locks=1.5"], ["--locks", "'1.5'", "whole number"]),
    (["--bus", "../up"], ["bus name '../up'", "1 to 64 letters"]),
    (["--bus", ""], ["bus name ''", "1 to 64 letters"]),
    (["--bus", "a" * 65], ["bus name", "1 to 64 letters"]),
    (["--set", "novalue"], ["--set", "'novalue'", "KEY=VALUE"]),
    (["--set", "=v"], ["--set", "'=v'", "KEY=VALUE"]),
    (["--mule-reload-mercy", "soon"], ["--mule-reload-mercy", "'soon'", "seconds"]),
    (["--mule-reload-mercy=-1"], ["--mule-reload-mercy", "'-1'", "seconds, 0 or more"]),
    (["--mule-reload-mercy=nan"], ["--mule-reload-mercy", "'nan'", "seconds"]),
    (["--mule-reload-mercy=inf"], ["--mule-reload-mercy", "'inf'", "seconds"]),
    (["--mule-harakiri=-1"], ["--mule-harakiri", "'-1'", "seconds, 0 or more"]),
    (["--mule-harakiri=1e10"], ["--mule-harakiri", "'1e10'", "too long"]),
    (["--mule-max-msgs=many"], ["--mule-max-msgs", "'many'", "whole number"]),
    (["--touch-mules-reload="], ["--touch-mules-reload", "''", "file"]),
    (["--queue-share=0"], ["--queue-share", "'0'", "above 0, up to 1"]),
    (["--queue-share=1.1"], ["--queue-share", "'1.1'", "above 0, up to 1"]),
    (["--chdir", "nowhere"], ["'nowhere'", "does not exist"]),
    (["--import", ""], ["--import", "''", "module or file"]),
    (["--import", "no.py"], ["import 'no.py'", "does not exist in"]),
    (["--import", "./notes.txt"], ["import './notes.txt'", "does not end in .py"]),
    (["--pythonpath="], ["--pythonpath", "''", "directory"]),
    (["--ini", "no.ini"], ["'no.ini'", "No such file", "correct the path"]),
    (["--config", "no.toml"], ["'no.toml'", "No such file", "--config"]),
    (["--spoolers", "x"], ["--spoolers", "run --help"]),
    (["--spooler", ""], ["--spooler", "directory"]),
    (["--spooler", "notes.txt", "--spooler", "./notes.txt"], ["notes.txt", "twice"]),
    (["--spooler", "x", "--spooler-processes", "0"], ["--spooler-processes", "'0'"]),
    (["--spooler", "x", "--spooler-frequency", "0"], ["--spooler-frequency", "'0'"]),
    (["--spooler", "x", "--spooler-nice", "20"], ["--spooler-nice", "'20'"]),
    (["--spooler", "x", "--spooler-harakiri", "soon"], ["--spooler-harakiri", "'soon'"]),
    (["--spooler", "x", "--spooler-chdir", "nowhere"], ["--spooler-chdir", "nowhere"]),
    (["--spooler", "x", "--spooler-import", "nowhere.py"], ["nowhere.py"]),
    (["--no-such-flag"], ["--no-such-flag", "run --help"]),
    (["--lazy-apps", "app"], ["'app'", "stands after '--'"]),
    (["gunicorn", "app"], ["'gunicorn'", "stands after '--'"]),
    (["--mules=1", "--"], ["no command after '--'"]),
    (["--", "no-such-program-anywhere"], ["'no-such-program-anywhere'", "not an executable program"]),
    (["--", "./notes.txt"], ["'./notes.txt'", "not an executable program"]),
]

#: Lines of an [ipcmules] section, and what the error must say.
INI_LINES: list[tuple[str, list[str]]] = [
    ("mules = many", ["line 2, mules", "'many'", "whole number"]),
    ("mule = worker", ["line 2, mule", "'worker'", ".py"]),
    ("mule = no.py", ["mule program 'no.py'", "does not exist"]),
    ("farm = mail", ["line 2, farm", "'mail'", "NAME:1,2"]),
    ("processes = two", ["line 2, processes", "'two'", "whole number"]),
    ("locks =", ["line 2, locks", "''", "whole number"]),
    ("locks = 3 ; three", ["line 2, locks", "'3 ; three'", "whole number"]),
    ("lazy-apps = perhaps", ["line 2, lazy-apps", "'perhaps'", "neither true nor false"]),
    ("set = k", ["line 2, set", "'k'", "KEY=VALUE"]),
    ("env = k", ["line 2, env", "'k'", "KEY=VALUE"]),
    ("bus = a b", ["line 2, bus", "'a b'", "letters, digits"]),
    ("mule-reload-mercy = long", ["line 2, mule-reload-mercy", "'long'", "seconds"]),
    ("module = :app", ["line 2, module", "module"]),
    ("wsgi-file = gone.py", ["'./gone.py'", "does not exist"]),
    ("chdir =", ["line 2, chdir", "''", "directory"]),
]

#: TOML files, and what the error must say.
TOML_FILES: list[tuple[str, list[str]]] = [
    ("mules = ", ["not valid TOML", "correct it"]),
    ("mules = 1\nmules = 2", ["not valid TOML"]),
    ("mulez = 2", ["no option 'mulez'", "did you mean 'mule'"]),
    ("zzz = 1", ["no option 'zzz'", "remove it"]),
    ("lazy_apps = true", ["no option 'lazy_apps'", "did you mean 'lazy-apps'"]),
    ('mules = "2"', ["mules", "'2' is a string", "whole number"]),
    ("mules = 2.5", ["mules", "2.5 is a fraction", "whole number"]),
    ("mules = true", ["mules", "True is true/false", "whole number"]),
    ("mules = [1, 2]", ["mules", "1 is a whole number", "a string"]),
    ("mules = -1", ["mules", "'-1'", "from 0 to 4096"]),
    ("mule = 3", ["mule", "3 is a whole number", "a string, or a list of them"]),
    ('mule = ["worker"]', ["mule", "'worker'", ".py"]),
    ('mule = ["no.py"]', ["mule program 'no.py'", "does not exist"]),
    ("mule = [[]]", ["mule", "[] is a list", "a string"]),
    ("farm = 3", ["farm", "3 is a whole number"]),
    ("farm = {a = 1}", ["farm", "1 does not name", "[1, 2]"]),
    ("farm = {a = []}", ["farm", "[] does not name", "[1, 2]"]),
    ('farm = {a = ["1"]}', ["farm", "does not name", "[1, 2]"]),
    ("farm = {a = [9]}", ["farm 'a' names mule 9", "add --mule"]),
    ('farm = "a"', ["farm", "'a'", "NAME:1,2"]),
    ("lazy-apps = 1", ["lazy-apps", "1 is a whole number", "true or false"]),
    ('locks = ["1"]', ["locks", "is a list", "whole number"]),
    ("set = {k = []}", ["set", "[] is a list", "a string or a number"]),
    ('set = "k"', ["set", "'k'", "KEY=VALUE"]),
    ("set = 2025-01-01", ["set", "a date or time"]),
    ("pyargv = [1]", ["pyargv", "1 is a whole number", "a string"]),
    ('mule-reload-mercy = "9"', ["mule-reload-mercy", "'9' is a string", "a number"]),
    ('mule-harakiri = "9"', ["mule-harakiri", "'9' is a string", "a number"]),
    ("mule-max-msgs = 1.5", ["mule-max-msgs", "is a fraction", "whole number"]),
    ("touch-mules-reload = 3", ["touch-mules-reload", "3 is a whole number", "a string"]),
    ("queue-share = 2", ["queue-share", "'2'", "up to 1"]),
    ("bus = 1", ["bus", "1 is a whole number", "a string"]),
    ('ipcmules = "x"', ["'x' is not a table", "[ipcmules]"]),
    ("[tool]\nx = 1", ["no option 'tool'"]),
]


@pytest.fixture(autouse=True)
def no_bus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise AssertionError("the master was called with a wrong configuration")

    monkeypatch.setattr(master, "run", refuse)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IPCMULES_BUS", raising=False)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "folder.py").mkdir()


def refused(arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", *arguments])
    text = capsys.readouterr().err
    assert ended.value.code == 2, text
    assert text.startswith("ipcmules: error: ")
    assert text.count("\n") == 1
    for word in words:
        assert word in text, text


@pytest.mark.parametrize(("arguments", "words"), COMMAND_LINES)
def test_command_lines(arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    refused(arguments, words, capsys)


@pytest.mark.parametrize(("line", "words"), INI_LINES)
def test_ini_lines(line: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.ini").write_text(f"[ipcmules]\n{line}\n")
    refused(["--ini=a.ini"], words, capsys)


@pytest.mark.parametrize(("text", "words"), TOML_FILES)
def test_toml_files(text: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.toml").write_text(text)
    refused(["--config=a.toml"], words, capsys)


def test_toml_that_is_not_text(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.toml").write_bytes(b"bus = '\xff'")
    refused(["--config=a.toml"], ["a.toml", "not valid TOML"], capsys)


@settings(max_examples=300)
@given(st.sampled_from(sorted(OPTIONS)), st.text(max_size=30))
def test_any_text_is_taken_or_refused_with_a_reason(name: str, text: str) -> None:
    try:
        Given().add(name, text, "here")
    except ConfigError as error:
        assert str(error).startswith("here: ")


@settings(max_examples=200)
@given(st.text(alphabet="a:1,9-. \n", max_size=12))
def test_farms_and_programs_are_read_or_refused(text: str) -> None:
    for read in (farm, program):
        try:
            read(text)
        except ConfigError as error:
            assert repr(text) in str(error)
