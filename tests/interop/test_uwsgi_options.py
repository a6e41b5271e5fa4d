"""What the table of options says of uWSGI's names, asked of the real uWSGI."""

from __future__ import annotations

import re
import subprocess

import pytest

from ipcmules.compat import catalogue
from ipcmules.options.option import OTHER, SAME, Option
from ipcmules.options.table import TABLE
from realuwsgi import uwsgi_binary

__all__ = ["uwsgi_binary"]


@pytest.fixture(scope="module")
def theirs(uwsgi_binary: str) -> set[str]:
    """The names of all options of uWSGI."""
    text = subprocess.run([uwsgi_binary, "--help"], capture_output=True, text=True, check=False).stdout
    columns = re.findall(r"^ +(-[\w|-]+)", text, re.MULTILINE)
    return {name.lstrip("-") for each in columns for name in each.split("|")}


@pytest.mark.parametrize("option", TABLE, ids=[each.name for each in TABLE])
def test_a_name_is_ours_where_uwsgi_has_none(option: Option, theirs: set[str]) -> None:
    for name in option.names:
        if OTHER_BUILDS.fullmatch(name):
            continue
        assert (name in theirs) == (option.uwsgi in (SAME, OTHER)), name


#: Options of builds with PCRE or with a JSON library, which the one from PyPI may be without.
OTHER_BUILDS = re.compile(
    r"(final-|error-|response-)?route(-.*)?|routers?-list|.*hostname-match|json|js|pcre-jit"
    r"|log-(drain|filter|route|req-route)|static-expires(-uri|-path-info)?"
)


def test_the_catalogue_has_every_option_of_uwsgi_and_no_other(theirs: set[str]) -> None:
    ours = set(catalogue.table())
    assert {name for name in theirs if len(name) > 1} - ours == set()
    assert {name for name in ours - theirs if not OTHER_BUILDS.fullmatch(name)} == set()
