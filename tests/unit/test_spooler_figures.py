"""Figures of tasks: what is counted, over the end of the process that counts, and how quantiles come out."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as some

from ipcmules.spooler import figures
from ipcmules.spooler.figures import BUCKETS, OTHERS, Figures, Recorder

MILLISECOND = 1_000_000


@given(some.integers(min_value=0, max_value=1 << 62))
def test_a_duration_is_in_its_bucket(nanoseconds: int) -> None:
    number = figures.bucket(nanoseconds)
    assert 0 <= number < BUCKETS
    assert figures.begins(number) <= nanoseconds
    if number < BUCKETS - 1:
        assert nanoseconds < figures.begins(number + 1)


def test_buckets_are_a_quarter_wide_at_most() -> None:
    for number in range(4, BUCKETS - 1):
        assert figures.begins(number + 1) <= 1.25 * figures.begins(number)


def test_what_is_counted(tmp_path: Path) -> None:
    path = str(tmp_path / "figures")
    recorder = Recorder(path)
    for took in (1, 2, 3, 4, 100):
        recorder.end(recorder.begin("mail"), True, False, False, took * MILLISECOND)
    recorder.end(recorder.begin("mail"), False, True, True, MILLISECOND)
    recorder.begin("late")
    [mail, late] = figures.read(path, True)
    assert (mail.function, mail.begun, mail.done) == ("mail", 6, 5)
    assert (mail.failed, mail.dead, mail.killed) == (1, 1, 0)
    assert (late.function, late.running, late.killed, late.last) == ("late", 1, 0, 0.0)
    assert 0.001 <= mail.quantile(0.5) <= 0.003 and 0.08 <= mail.quantile(0.99) <= mail.longest == 0.1
    assert abs(mail.spent - 0.111) < 1e-9 and mail.last > 0
    # Its process was killed: what it had begun was killed with it, and the next one goes on counting.
    assert figures.read(path, False)[1].killed == 1
    again = Recorder(path)
    again.end(again.begin("mail"), True, False, False, MILLISECOND)
    [mail, late] = figures.read(path, True)
    assert (mail.done, late.running, late.killed) == (6, 0, 1)
    both = mail + late
    assert (both.begun, both.done, both.killed) == (8, 6, 1)
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_many_functions_and_long_names(tmp_path: Path) -> None:
    recorder = Recorder(str(tmp_path / "figures"))
    for number in range(600):
        recorder.end(recorder.begin(f"f{number}"), True, False, False, 1)
    recorder.end(recorder.begin("ä" * 200), True, False, False, 1)
    found = {each.function: each for each in figures.read(str(tmp_path / "figures"), True)}
    assert len(found) == 512 and found["f7"].done == 1 and found[OTHERS].done == 600 - 511 + 1
    recorder = Recorder(str(tmp_path / "more"))
    recorder.begin("ä" * 200)
    assert figures.read(str(tmp_path / "more"), True)[0].function == "ä" * 63


def test_where_no_file_can_be(tmp_path: Path) -> None:
    recorder = Recorder(str(tmp_path / "nowhere" / "figures"))
    recorder.end(recorder.begin("mail"), True, False, False, 1)
    assert figures.read(str(tmp_path / "nowhere" / "figures"), True) == []
    (tmp_path / "other").write_bytes(b"something else" * 100)
    assert figures.read(str(tmp_path / "other"), True) == []
    assert Figures("none").quantile(0.5) == 0.0
