"""Ini files as uWSGI reads them (--show-config) and as we do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ipcmules.compat import ini, logic

FILES = {
    "placeholders": """
        [uwsgi]
        set = base=/srv
        set-ph = deep=%(base)/x
        a1 = %d|%p|%s|%n|%e|%c|%x|%0|%1|%V|%h|%u|%g|%U|%G|%k|%%|%v
        a2 = $(HOME) $(NOT_SET_AT_ALL) %(base) %(nothing) %(deep)
        a3 = @(text.txt)
        a4 = a @(%dtext.txt) b
        a5 = %(later) %($(HOME))
        later = 5
        a6 = %(later + 1) %(later * 3 - 2) %(later later) %(later / 0) %(later ++) %(nothing + 1)
        strange = %z 100% sure
        """,
    "includes": """
        [uwsgi]
        ini = other.ini
        one = 1
        include = %dother.ini
        two = %(from_other) %n
        inherit = last.ini
        ini = other.ini:named
        """,
    "sections that are not there": """
        [uwsgi]
        ini = :%(undefined)
        ini = other.ini:nobody
        after = 1
        """,
    "lines": """
        # comment
        ; another
        [nothing]
        not = here
        [uwsgi]
        flag
        empty =
          indented   =   value with spaces
        again = 1
        again = 2
        equals = a=b=c
        comment = x ; no # comment
        [other]
        no = no
        [uwsgi]
        more = 1
        colon : 4
        """,
    "conditions": """
        [uwsgi]
        set = base=/srv
        if-exists = text.txt
        touch-reload = %(_) is there
        include = other.ini
        end-if =
        if-not-exists = text.txt
        no1 = x
        endif =
        if-exists = nothing
        no2 = x
        if-env = HOME
        end-if
        if-env = HOME
        home = %(_)
        end-if
        if-env = NO_SUCH_VARIABLE=1
        no3 = x
        end-if
        if-not-env = NO_SUCH_VARIABLE
        yes1 = x %(_)
        end
        if-not-env = HOME=/nowhere
        yes2 = %(_)
        end-if
        if-opt = base=/srv
        yes3 = %(_) %(base)
        end-if
        if-opt = base=/other
        no4 = x
        end-if
        if-not-opt = base
        no5 = x
        end-if
        if-file = text.txt
        yes4 = %(_)
        end-if
        if-dir = text.txt
        no6 = x
        end-if
        if-not-dir = text.txt
        yes5 = %(_)
        end-if
        if-not-file = nothing
        yes6 = %(_)
        end-if
        if-reload =
        no7 = x
        end-if
        if-not-reload =
        yes7 = %(_)
        end-if
        if-hostname = no-such-host
        no8 = x
        end-if
        if-not-hostname = no-such-host
        yes8 = %(_)
        end-if
        if-plugin = python
        yes9 = %(_)
        end-if
        if-not-plugin = no-such-plugin
        yes10 = %(_)
        end-if
        ifdir = sub
        yes11 = %(_)
        endif
        """,
    "loops": """
        [uwsgi]
        for = one two  three
        a = %(_)-%(_)
        b = x
        endfor =
        for-times = 3
        c = %(_)
        end-for =
        for-glob = sub/*
        d = %(_)
        endfor =
        for-glob = nothing*
        e = %(_)
        endfor =
        for-readline = text.txt
        f = %(_)
        endfor =
        for = other named
        include = %(_).ini
        endfor =
        """,
    "references": """
        [uwsgi]
        a1 = @(exec://echo one; echo two)
        a2 = x@(exec://echo $(echo deep))y
        a3 = %(below)
        below = [%(last)]
        last = end
        a4 = $(HOME)$(HOME) %(a3)%(last)
        a5 = %j %i
        empty = @()x$()y%()
        open = %(last $(HOME @(text
        """,
}
OTHERS = {
    "yaml": """
        uwsgi:
          a: 1
          b: some words
          # comment
          c: %(a)
          socket: /tmp/%n.sock
        other:
          no: 1
        """,
    "xml": """
        <uwsgi>
          <a>1</a>
          <flag/>
          <b>some words %n</b>
          <c>%(a)</c>
          <app mountpoint="/x">
            <script>mod:app</script>
          </app>
          <app mountpoint="/y">other.py</app>
        </uwsgi>
        """,
    "xml two": """
        <all><uwsgi id="one"><a>1</a></uwsgi><uwsgi id="two"><a>2</a><a>3</a></uwsgi></all>
        """,
}


def show(binary: str, *options: str) -> str:
    """The configuration as uWSGI shows it. Without anything to serve it shows that and ends."""
    environment = {each: value for each, value in os.environ.items() if each != "PYTHONPATH"}
    done = subprocess.run(
        [binary, *options, "--show-config", "--no-server"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        env=environment,
        check=False,
    )
    text = done.stdout + done.stderr
    assert "\n[uwsgi]\n" in text, text
    return text.partition("\n[uwsgi]\n")[2].partition(";end of configuration")[0]


@pytest.mark.parametrize("name", OTHERS)
def test_both_read_other_formats(
    uwsgi_binary: str, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kind, _, two = name.partition(" ")
    (tmp_path / f"x.{kind}").write_text(OTHERS[name].replace("\n        ", "\n").lstrip())
    path = f"x.{kind}:two" if two else f"x.{kind}"
    shown = show(uwsgi_binary, f"--{kind}", path)
    theirs = [
        line
        for line in shown.splitlines()
        if line and not line.startswith((kind, "show-config", "no-server"))
    ]
    assert [f"{each.key} = {each.value}".rstrip() for each in ini.read([(kind, path)])] == [
        line.rstrip() for line in theirs
    ]


@pytest.mark.parametrize("name", FILES)
def test_both_read_the_same(
    uwsgi_binary: str, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("two\nlines")
    (tmp_path / "other.ini").write_text("[uwsgi]\nfrom_other = %s\n[named]\nin_named = %x\n")
    (tmp_path / "last.ini").write_text("[uwsgi]\nlast = 1\n")
    (tmp_path / "named.ini").write_text("[uwsgi]\nfrom_named = %s %S\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "one").write_text("")
    (tmp_path / "sub" / "two").mkdir()
    (tmp_path / "x.ini").write_text(FILES[name].replace("\n        ", "\n"))
    shown = show(uwsgi_binary, "--ini", "x.ini")
    defined = {"base", "deep"}
    ours = "".join(f"{each.key} = {each.value}\n" for each in ini.read("x.ini", ("uwsgi",)))
    theirs = [line for line in shown.splitlines() if line not in ("ini = x.ini", "show-config = true", "")]
    theirs = [line for line in theirs if line.partition(" ")[0] not in {*defined, "no-server"}]
    # What begins and ends a block is used up here.
    theirs = [line for line in theirs if not logic.begins(line.partition(" ")[0])]
    theirs = [line for line in theirs if not logic.ends(line.partition(" ")[0])]
    # Of uWSGI's own: what --set-ph wrote is filled in there only where it is used.
    assert [line for line in ours.splitlines() if not line.startswith("set")] == [
        line for line in theirs if not line.startswith("set")
    ]
