"""The log file of a bus that starts as root and becomes another user."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from ipcmules.cli import user

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root alone may give files away")


@pytest.fixture
def nobody() -> int:
    return pwd.getpwnam("nobody").pw_uid


def test_a_file_is_made_for_the_user(tmp_path: Path, nobody: int) -> None:
    log = tmp_path / "site.log"
    user.own(str(log), "nobody", "")
    assert log.stat().st_uid == nobody and log.stat().st_mode & 0o777 == 0o640


def test_one_that_root_left_is_given_to_the_user_with_what_is_in_it(tmp_path: Path, nobody: int) -> None:
    log = tmp_path / "site.log"
    log.write_text("of uWSGI\n")
    user.own(str(log), "nobody", "")
    assert (log.stat().st_uid, log.read_text()) == (nobody, "of uWSGI\n")


def test_what_may_be_anothers_file_is_left_alone(tmp_path: Path) -> None:
    secret, log, link = tmp_path / "secret", tmp_path / "log", tmp_path / "link"
    secret.write_text("")
    os.link(secret, log)
    link.symlink_to(secret)
    for each in (log, link, tmp_path):
        user.own(str(each), "nobody", "")
    assert secret.stat().st_uid == 0 == tmp_path.stat().st_uid


def test_without_a_user_nothing_is_done(tmp_path: Path) -> None:
    user.own(str(tmp_path / "log"), "", "")
    assert not (tmp_path / "log").exists()
