"""The table of uWSGI's options: whole, said once each, and of the same opinion as the code."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter

import pytest

from ipcmules.cli import inifile, translations
from ipcmules.compat import catalogue, ini, logic, references
from ipcmules.compat.catalogue import DONE, MISSING, NOTHING, SERVER, SERVERS
from ipcmules.options.table import IN_FILES


def test_each_option_stands_there_once() -> None:
    lines = catalogue._FILE.read_text(encoding="utf-8").splitlines()
    names = Counter(name for line in lines if line[:1] not in ("[", "#") for name in line.split())
    assert not [name for name, count in names.items() if count > 1]
    assert len(names) > 980


def test_what_is_done_is_what_the_code_does() -> None:
    done = {name for name, known in catalogue.table().items() if known.kind == DONE}
    code = {name for name, option in IN_FILES.items() if option.uwsgi == "same" and len(name) > 1}
    code |= {*translations.BY_OTHERS, *ini.READING, *references.DEFINING, *logic._BLOCKS, "endif", "end-if"}
    code |= {"endfor", "end-for"}
    assert done == code


def test_what_is_not_done_says_why_or_what() -> None:
    for name, known in catalogue.table().items():
        assert known.kind in (DONE, SERVER, NOTHING, MISSING), name
        assert bool(known.text) is (known.kind != DONE), name
        if known.kind == SERVER:
            assert all(known.for_server(each) for each in SERVERS) and known.text.count(" | ") == 2, name


@pytest.mark.parametrize("server", SERVERS)
def test_the_options_that_it_names_are_the_servers(server: str) -> None:
    pytest.importorskip(server)
    module = {"gunicorn": "gunicorn.app.wsgiapp"}.get(server, server)
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True
    )
    texts = {known.for_server(server) for known in catalogue.table().values() if known.kind == SERVER}
    named = {each for text in texts for each in re.findall(r"(?<![\w-])--[a-z][\w-]+", text)} - {"--json"}
    assert {each for each in named if each not in done.stdout} == set()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("http", "server"), ("s", "server"), ("vacuum", "nothing"), ("cache2", "taken"), ("mine", "unknown")],
)
def test_what_an_option_is(name: str, kind: str) -> None:
    assert inifile.what_is(ini.Entry("uwsgi", name, "", 1)) == kind
