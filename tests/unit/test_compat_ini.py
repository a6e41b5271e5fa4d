"""The reader of uWSGI's ini files. What uWSGI 2.0.31 does with these lines was checked with --show-config."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipcmules.compat import ini
from ipcmules.errors import ConfigError


def write(directory: Path, text: str, name: str = "my.app.ini") -> str:
    path = directory / name
    path.write_text(text)
    return str(path)


def pairs(path: str) -> list[tuple[str, str]]:
    return [(entry.key, entry.value) for entry in ini.read(path)]


def test_repeated_keys_stay_in_order(tmp_path: Path) -> None:
    path = write(tmp_path, "[uwsgi]\nmule = a.py\nlocks = 2\nmule\nmule = b.py\nmule =\n")
    assert pairs(path) == [("mule", "a.py"), ("locks", "2"), ("mule", ""), ("mule", "b.py"), ("mule", "")]


def test_comments_blanks_and_values(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "# one\n; two\n\n[uwsgi]\n  # three\n\tindented = v\nimport=a\n"
        'env = A=1\nmule = x.py ; no comment # either\npyargv = "quoted" \\\n continued\nlocks : 4\n',
    )
    assert pairs(path) == [
        ("indented", "v"),
        ("import", "a"),
        ("env", "A=1"),
        ("mule", "x.py ; no comment # either"),
        ("pyargv", '"quoted" \\'),
        ("continued", ""),
        ("locks : 4", ""),
    ]


def test_sections_come_several_times_and_others_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, "[a]\nmule=no\n[uwsgi]\nmules=1\n[b]\nx\n[ipcmules]\nbus=q\n[uwsgi]\nlocks=1\n")
    assert [(entry.section, entry.key, entry.line) for entry in ini.read(path)] == [
        ("uwsgi", "mules", 4),
        ("ipcmules", "bus", 8),
        ("uwsgi", "locks", 10),
    ]


def test_placeholders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIVEN", "from the environment")
    monkeypatch.delenv("MISSING", raising=False)
    path = write(
        tmp_path,
        "[uwsgi]\nset = a=%d|%p|%n|%s|%e|%c|%%|100%|%z\n"
        "set-placeholder = base=/srv\nset-ph = deep=%(base)/x\nown = 5\nown = 6\n"
        "pyargv = %(a) %(deep) %(own) %(nope) $(GIVEN) $(MISSING) $HOME\n",
    )
    value = f"{tmp_path}/|{path}|my.app|my.app.ini|ini|{tmp_path.name}|%|100"
    assert pairs(path)[0] == ("set", f"a={value}")
    expected = f"{value} /srv/x 5 %(nope) from the environment $(MISSING) $HOME"
    assert pairs(path)[-1] == ("pyargv", expected)


def test_references_are_filled_in_when_everything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNT", "6")
    secret = write(tmp_path, "from a file\n", "secret.txt")
    path = write(
        tmp_path,
        "[uwsgi]\none = %(late) %(three)\nlate = here\ntwo = @(%dsecret.txt)!\n"
        f"three = @({secret})\nfour = $(COUNT)\nfive = %(four + 2)\nsix = %(four * 3 - 1)\n"
        "seven = %(four ++)\n"
        "eight = %(four / 0)%(four / 4)\nnine = %(four four)\n",
    )
    assert dict(pairs(path)) == {
        "one": "here from a file",
        "late": "here",
        "two": "from a file!",
        "three": "from a file",
        "four": "6",
        "five": "8",
        "six": "17",
        "seven": "7",
        "eight": "01",
        "nine": "66",
    }


def test_other_files_stand_where_they_are_included(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    write(tmp_path, "[uwsgi]\nname = %n in %d\n[more]\nextra = 1\n", "sub/base.ini")
    write(tmp_path, "[uwsgi]\nlast = 1\n", "inherited.ini")
    path = write(
        tmp_path,
        "[uwsgi]\ninherit = inherited.ini\nini = sub/base.ini\na = %n\ninclude = %dsub/base.ini\n"
        "ini = sub/base.ini:more\n",
    )
    base = f"base in {tmp_path}/sub/"
    assert [each for each in pairs(path) if each[0] not in ("ini", "include", "inherit")] == [
        ("name", base),
        ("a", "my.app"),
        ("name", base),
        ("extra", "1"),
        ("last", "1"),
    ]
    entries = ini.read(f"{path}:uwsgi")
    assert {each.section for each in entries} == {"uwsgi"}
    assert entries[1].file == "inherited.ini" or any(each.file == "sub/base.ini" for each in entries)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("if-env = HOME\nfor = a b\nendif =\n", ["line 3", "for stands inside 'if-env = HOME'", "end-if"]),
        ("if-hostname-match = (\na = 1\n", ["no regular expression"]),
        ("b = x %(c)\nc = y %(b)\n", ["lead to themselves"]),
        ("ini = my.app.ini\n", ["leads to it again"]),
        ("ini = no.ini\n", ["no.ini", "No such file"]),
        ("ini = http://example.org/x.ini\n", ["fetch it first"]),
        ("include = x.yaml\n", ["x.yaml", "No such file"]),
        ("a = @(no.txt)\n", ["line 2", "no.txt", "No such file"]),
        ("a = @(exec://exit 3)\n", ["line 2", "exec://exit 3", "ended with 3"]),
        ("a = @(sym://x)\n", ["uWSGI's own binary"]),
    ],
)
def test_what_is_not_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, f"[uwsgi]\n{text}")
    with pytest.raises(ConfigError) as caught:
        ini.read(path)
    for word in words:
        assert word in str(caught.value)


def test_bytes_that_are_not_utf8_come_out_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "latin.ini"
    path.write_bytes(b"\xef\xbb\xbf[uwsgi]\r\nchdir = /caf\xe9\r\n")
    assert pairs(str(path)) == [("chdir", "/caf\udce9")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["neither [ipcmules] nor [uwsgi]", "add the section"]),
        ("[other]\na=1\n", ["neither [ipcmules] nor [uwsgi]"]),
        ("mule = x.py\n[uwsgi]\n", ["line 1", "'mule = x.py'", "before any section"]),
        ("[uwsgi]\n\n[ipcmules\n", ["line 3", "'[ipcmules'", "not closed"]),
        ("[uwsgi]\n = 4\n", ["line 2", "'= 4'", "OPTION = VALUE"]),
        ("[uwsgi]\nmule = a\0.py\n", ["line 2", "NUL"]),
    ],
)
def test_malformed_files(tmp_path: Path, text: str, words: list[str]) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        ini.read(path)
    for word in [path, *words]:
        assert word in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "no.ini", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError, match=reason) as caught:
            ini.read(str(path))
        assert repr(str(path)) in str(caught.value)


@pytest.mark.parametrize("line", ["%e", "ini = missing.ini", "include ="])
def test_what_is_included_and_not_there_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "some.ini"
    path.write_text(f"[uwsgi]\n{line}")
    with pytest.raises(ConfigError, match=re.escape(f"{path}, line 2: ini file '")):
        ini.read(str(path))


@pytest.mark.parametrize("line", ["ini = :%(undefined)", "ini = :nobody", "yaml = other.yaml"])
def test_a_section_that_is_included_and_not_there_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, line: str
) -> None:
    (tmp_path / "other.yaml").write_text("other: {a: 1}")
    path = tmp_path / "some.ini"
    path.write_text(f"[uwsgi]\n{line.replace('other.yaml', '%dother.yaml')}\nafter = 1\n")
    assert [each.key for each in ini.read(str(path))] == [line.partition(" ")[0], "after"]
    said = caplog.text
    assert "nothing is read from it" in said and ("[uwsgi]" in said or "other" in said)


@settings(max_examples=200)
@given(st.text(alphabet=st.sampled_from('[]=%$();# \n\tuwsgimule.\\"é\0'), max_size=80))
def test_anything_is_read_or_refused_with_a_reason(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.ini"
    path.write_text(f"[uwsgi]\n{text}", newline="")
    try:
        entries = ini.read(str(path))
    except ConfigError as error:
        assert str(path) in str(error)
    else:
        assert all(entry.key and entry.section in ("uwsgi", "ipcmules") for entry in entries)
