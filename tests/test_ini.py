"""The reader of uWSGI's ini files. What uWSGI 2.0.31 does with these lines was checked with --show-config."""

from __future__ import annotations

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
    value = f"{tmp_path}/|{path}|my.app|my.app.ini|ini|{tmp_path.name}|%|100%|%z"
    assert pairs(path)[0] == ("set", f"a={value}")
    expected = f"{value} /srv/x 5 %(nope) from the environment $(MISSING) $HOME"
    assert pairs(path)[-1] == ("pyargv", expected)


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


@settings(max_examples=200, deadline=None)
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
