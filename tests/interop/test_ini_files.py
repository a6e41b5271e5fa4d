"""Ini files as uWSGI reads them (--show-config) and as we do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ipcmules.compat import ini

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
}


@pytest.mark.parametrize("name", FILES)
def test_both_read_the_same(
    uwsgi_binary: str, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("two\nlines")
    (tmp_path / "other.ini").write_text("[uwsgi]\nfrom_other = %s\n[named]\nin_named = %x\n")
    (tmp_path / "last.ini").write_text("[uwsgi]\nlast = 1\n")
    (tmp_path / "x.ini").write_text(FILES[name].replace("\n        ", "\n"))
    environment = {each: value for each, value in os.environ.items() if each != "PYTHONPATH"}
    # Without anything to serve it shows the configuration and ends.
    done = subprocess.run(
        [uwsgi_binary, "--ini", "x.ini", "--show-config", "--no-server"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        env=environment,
        check=False,
    )
    shown = (done.stdout + done.stderr).partition("\n[uwsgi]\n")[2].partition(";end of configuration")[0]
    defined = {"base", "deep"}
    ours = "".join(f"{each.key} = {each.value}\n" for each in ini.read("x.ini", ("uwsgi",)))
    theirs = [line for line in shown.splitlines() if line not in ("ini = x.ini", "show-config = true", "")]
    theirs = [line for line in theirs if line.partition(" ")[0] not in {*defined, "no-server"}]
    # Of uWSGI's own: what --set-ph wrote is filled in there only where it is used.
    assert [line for line in ours.splitlines() if not line.startswith("set")] == [
        line for line in theirs if not line.startswith("set")
    ]
