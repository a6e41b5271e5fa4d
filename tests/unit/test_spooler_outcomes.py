"""Results as files: written under their names, they count once they have their time."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from ipcmules.errors import AccessError, LimitError
from ipcmules.spooler import names, outcome_sweep, outcomes, standing
from ipcmules.spooler.calls import SpoolFunction
from ipcmules.spooler.outcomes import SUCCEEDED, End
from ipcmules.spooler.successes import Successes

NAME = f"{names.TASK}host_1_2_3_1700000000_5"


def quoted() -> None:
    """A function whose whole name has what JSON and formats take for something else."""


FUNCTION = SpoolFunction("quoted", quoted, given='100%s "of" \\ them')


def _end(value: bytes = b"1") -> End:
    return End(SUCCEEDED, time.time(), function="f", encoding="json", value=value)


@pytest.mark.parametrize("returned", [None, 1, -(1 << 70), True, "text", [1, {"a": None}], (1, 2), {1}])
def test_a_success_reads_as_any_result(tmp_path: Path, returned: object) -> None:
    directory = os.open(tmp_path, os.O_PATH)
    (tmp_path / "results").mkdir(0o700)
    told = Successes()
    assert not told.may_be_told(NAME, directory)
    before = time.time()
    assert told.tell(NAME, FUNCTION, returned, 60.0, directory)
    os.close(directory)
    found = outcomes.read(str(tmp_path), NAME)
    assert found is not None and outcomes.unpack(found) == returned
    assert found.function == FUNCTION.given and found.state == SUCCEEDED and before <= found.time
    assert outcomes.is_over(str(tmp_path), NAME)
    outcomes.write(str(tmp_path), NAME, found, 60.0)  # as if its writer was killed then: it is replaced
    assert outcomes.read(str(tmp_path), NAME) == found
    assert os.listdir(tmp_path / "results") == [f"{names.RESULT}{names.id_of(NAME)}"]


def test_what_is_not_for_that_way_says_nothing(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_PATH)
    told = Successes()
    assert not told.tell(NAME, FUNCTION, 1, 60.0, directory)  # there is no directory of results yet
    (tmp_path / "results").mkdir(0o700)
    assert not told.tell(NAME, FUNCTION, lambda: 1, 60.0, directory)
    assert not told.tell(NAME, FUNCTION, "x" * 5000, 60.0, directory)
    assert os.listdir(tmp_path / "results") == []
    assert told.tell(NAME, FUNCTION, "x" * 3000, 60.0, directory)
    assert told.may_be_told(NAME, directory) and not told.tell(NAME, FUNCTION, 1, 60.0, directory)
    os.close(directory)


def test_half_written_ones_do_not_count_and_are_replaced(tmp_path: Path) -> None:
    result = tmp_path / names.result_of(NAME)
    result.parent.mkdir(0o700)
    for content in (b"", b"{"):
        result.write_bytes(content)  # killed before its time was set
        assert not outcomes.is_over(str(tmp_path), NAME)
        assert outcomes.read(str(tmp_path), NAME) is None
        assert outcome_sweep.sweep(str(result.parent)) == 0 and result.exists()
    result.write_bytes(b"")
    os.utime(result, (1e10, 1e10))  # the clock was set back meanwhile
    assert not outcomes.is_over(str(tmp_path), NAME)
    outcomes.write(str(tmp_path), NAME, _end(b"7"), 60.0)
    found = outcomes.read(str(tmp_path), NAME)
    assert found is not None and found.value == b"7"


def test_one_that_was_swept_by_a_clock_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, result = os.utime, tmp_path / names.result_of(NAME)

    def swept(*args: object, **kwargs: object) -> None:
        monkeypatch.undo()
        monkeypatch.setattr(outcomes, "_PROMPT", -1.0)
        result.unlink()
        real(*args, **kwargs)  # type: ignore[arg-type]  # whatever it was called with

    result.parent.mkdir(0o700)
    monkeypatch.setattr(os, "utime", swept)
    outcomes.write(str(tmp_path), NAME, _end(b"8"), 60.0)
    found = outcomes.read(str(tmp_path), NAME)
    assert found is not None and found.value == b"8" and os.listdir(result.parent) == [result.name]


def test_what_cannot_be_opened_is_not_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a process without a descriptor would say of a task that it is gone, and a chain be dead of it."""
    directory, name = str(tmp_path), names.new_name()
    outcomes.write(directory, name, End(outcomes.SUCCEEDED, time.time(), value=b"1", encoding="json"), 60)
    assert standing.of(directory, name).status == outcomes.SUCCEEDED

    def refuse(*_args: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(outcomes, "opened", refuse)
    for ask in (outcomes.read, standing.of):
        with pytest.raises(LimitError, match="how a task ended cannot be read: Too many open files; "):
            ask(directory, name)
    assert outcomes.is_over(directory, name) and not outcomes.has_succeeded(directory, name)
    assert outcomes.progress_of(directory, name) is None


def test_a_directory_that_may_not_be_read_is_no_task_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, really = names.new_name(), os.lstat

    def refuse(path: str, **more: object) -> os.stat_result:
        if str(path).startswith(str(tmp_path)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return really(path)

    assert standing.of(str(tmp_path), name).status == standing.UNKNOWN
    monkeypatch.setattr(os, "lstat", refuse)
    with pytest.raises(AccessError, match=r"may not be read by uid \d+ .Permission denied.: chown or chmod"):
        standing.of(str(tmp_path), name)
