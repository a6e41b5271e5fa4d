"""A kill at any step of keeping a result, or of cancelling: nothing is lost, no status is wrong for good."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from conftest import BusEnvironment
from handled import Handled
from ipcmules.spooler import names, outcome_sweep, outcomes
from scripts import write
from support import wait_until

#: Wraps a function so that this process dies at its n-th call, before or after it. Once: a file remembers.
KILLER = """
import os, signal

def die_at(place, name, when, mark, only=lambda *given: True):
    real = getattr(place, name)
    def wrapped(*given, **more):
        if not only(*given) or os.path.exists(mark):
            return real(*given, **more)
        if when == "after":
            real(*given, **more)
        open(mark, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(place, name, wrapped)
"""

#: Steps of a task's end: where its spooler dies, and how often its function runs then.
STEPS = {
    "before the result": ("outcomes, 'write', 'before'", 2),
    "half of the result": ("os, 'rename', 'before', only=lambda old, new: 'result_on' in new", 2),
    "the result is there": ("outcomes, 'write', 'after'", 1),
    "the task is not gone": ("Quick, 'done', 'before'", 1),
    "the task is gone": ("Quick, 'done', 'after'", 1),
}


@pytest.fixture
def handled(bus_env: BusEnvironment, bus_name: str) -> Handled:
    found = Handled(bus_env.directory, bus_name)
    write(found.home, "killer.py", KILLER)
    return found


@pytest.mark.parametrize("step", STEPS)
def test_a_spooler_is_killed_while_it_keeps_a_result(handled: Handled, step: str) -> None:
    what, runs = STEPS[step]
    where, name, when, *only = what.split(", ", 3)
    mark = handled.home / "killed"
    arguments = ", ".join([where, name, when, repr(str(mark)), *only])
    write(
        handled.home,
        "dying_app.py",
        "import os\nfrom killer import die_at\nfrom ipcmules.spooler import outcomes\n"
        "from ipcmules.process.spooler.quick import Quick\nfrom ipcmules.decorators import spool\n"
        "from tasks_app import note\n"
        "@spool(pass_arguments=True, results=600, retries=1, backoff=0.02)\n"
        "def last():\n    note(task={'key': 'last'})\n    return 'kept'\n"
        f"die_at({arguments})\n",
    )
    with handled.start("--import", "dying_app"):
        task = handled.call("last")
        assert task.result(60) == "kept"
        handled.wait_empty()
        assert task.status() == "succeeded"
        wait_until(
            lambda: not handled.ours() or all("result" in each for each in names_of(handled)), what="order"
        )
    assert mark.exists() and handled.ran() == ["last"] * runs and not handled.dead()


def names_of(handled: Handled) -> list[str]:
    """What is left of files of ours, but for hands and files that may still be being written."""
    return [each for each in handled.ours() if not each.startswith((names.HAND, names.WRITING))]


#: Steps of cancelling: where the process that cancels dies, and whether the task may still run.
CANCEL_STEPS = {
    "nothing": ("cancelling, 'request', 'before'", True),
    "asked": ("os, 'chmod', 'before'", True),
    "marked": ("cancelling, 'finish', 'before'", False),
    "before it is said": ("outcomes, 'write', 'before'", False),
    "it is said": ("cancelling, 'remove', 'before'", False),
    "it is gone": ("cancelling, 'remove', 'after'", False),
}


@pytest.mark.parametrize("step", CANCEL_STEPS)
def test_who_cancels_a_task_is_killed(handled: Handled, step: str) -> None:
    what, may_run = CANCEL_STEPS[step]
    task = handled.call("give", 1)
    where, name, when = what.split(", ")
    program = (
        "import os, ipcmules\nfrom killer import die_at\nfrom ipcmules.spooler import cancelling, outcomes\n"
        f"die_at({where}, {name}, {when}, {str(handled.home / 'killed')!r})\n"
        f"ipcmules.task({str(task)!r}).cancel()\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=handled.home, check=False)
    assert ended.returncode == -signal.SIGKILL
    before = task.status()
    assert before == ("cancelled" if step in ("it is said", "it is gone") else "waiting")
    with handled.start():
        after = task.wait(60)
        handled.wait_empty()
    assert after == ("succeeded" if may_run else "cancelled")
    assert len(handled.runs()) == may_run
    assert task.status() == after


def test_a_spooler_is_killed_after_its_task_was_cancelled(handled: Handled) -> None:
    with handled.start():
        task = handled.call("stubborn")
        (ran,) = handled.wait_runs(1)
        assert task.cancel(grace=None) is False
        os.kill(ran["pid"], signal.SIGKILL)
        assert task.wait(60) == "cancelled"
        handled.wait_empty()
    assert len(handled.runs()) == 1 and not handled.dead()


def test_results_go_when_their_time_is_over_and_when_there_are_too_many(
    handled: Handled, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = str(handled.directory / "results")
    handled.directory.mkdir()
    for number in range(20):
        end = outcomes.End(outcomes.SUCCEEDED, 1e9, value=b"x" * 100)
        keep = 1e9 + number if number >= 10 else 1.0  # half of them are over
        outcomes.write(str(handled.directory), f"{names.TASK}h_1_{number}_3_4_5", end, keep)
    assert outcomes.read(str(handled.directory), f"{names.TASK}h_1_0_3_4_5") is None
    assert outcomes.read(str(handled.directory), f"{names.TASK}h_1_10_3_4_5") is not None
    (handled.directory / "results" / "a file of somebody's").touch()
    assert outcome_sweep.sweep(where) == 10 and len(os.listdir(where)) == 11
    monkeypatch.setattr(outcome_sweep, "MOST", 6)
    assert outcome_sweep.sweep(where) == 5 and len(os.listdir(where)) == 6
    size = os.stat(handled.directory / outcomes.names.result_of(f"{names.TASK}h_1_19_3_4_5")).st_size
    monkeypatch.setattr(outcome_sweep, "MOST_BYTES", 2 * size)
    assert outcome_sweep.sweep(where) == 3
    left = {each for each in os.listdir(where) if each.startswith(names.RESULT)}
    assert left == {f"{names.RESULT}h_1_{number}_3_4_5" for number in (18, 19)}  # those that stay longest
    assert outcome_sweep.sweep(f"{where}/not there") == 0


def test_results_in_a_directory_of_others_are_not_read(handled: Handled) -> None:
    import ipcmules

    with handled.start():
        task = handled.call("lend", "tuple")
        assert task.result(60) == (1, 2)
    os.chmod(handled.directory / "results", 0o777)
    with pytest.raises(ipcmules.AccessError, match="unpickled"):
        task.result(0)
