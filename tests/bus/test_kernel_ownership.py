"""Directories into which others could put something: refused wherever what is in them is run or believed.

As root, which can give things away: nothing here is done by another user, and nothing needs to be.
"""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import BusEnvironment
from ipcmules import Bus
from ipcmules.bus.places import private_directory
from ipcmules.errors import AccessError
from ipcmules.kernel import ownership
from ipcmules.spooler import attempts, codec, directory
from ipcmules.spooler.claim import Refusal
from ipcmules.spooler.enqueue import Writer
from ipcmules.spooler.store import Store
from ipcmules.spooler.task import Task
from spoolers import Spooling
from support import run_cli, wait_until

HEAD = codec.pack({"key": "1"})
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
NOBODY = pwd.getpwnam("nobody").pw_uid
#: A group that has members, or is somebody's: nobody's.
FOREIGN = pwd.getpwnam("nobody").pw_gid


@pytest.fixture
def spooling(bus_env: BusEnvironment, bus_name: str) -> Spooling:
    return Spooling(bus_env.directory, bus_name)


def change(mode: int, uid: int = -1, gid: int = -1) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        os.chown(path, uid, gid)
        path.chmod(mode)

    return apply


UNSAFE = [
    (change(0o777), "everybody can write to", "chmod o-w"),
    (change(0o2770, gid=FOREIGN), "others, of its group, can write to", "chmod g-w"),
    (change(0o770, gid=FOREIGN), f"group {grp.getgrgid(FOREIGN).gr_name}", "mode 0770"),
    (change(0o700, uid=NOBODY), f"belongs to uid {NOBODY} (nobody", "mode 0700"),
]


@root
@pytest.mark.parametrize(("make", "words", "remedy"), UNSAFE)
def test_spool_directories_of_others(
    tmp_path: Path, make: Callable[[Path], None], words: str, remedy: str
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    task = Path(spool, Writer(str(spool)).put(HEAD))
    make(spool)
    for refused in (
        lambda: Writer(str(spool)).put(HEAD),
        lambda: Store(str(spool)).prepare(),
        lambda: Store(str(spool)).check(),
    ):
        with pytest.raises(AccessError) as caught:
            refused()
        assert words in str(caught.value) and remedy in str(caught.value) and str(spool) in str(caught.value)
    for command in (
        ["tasks", "run", str(spool), "--once"],
        ["run", "--spooler", str(spool), "--", sys.executable, "-V"],
        ["tasks", "retry", str(spool), "--all"],
        ["spool", "--spooler", str(spool), "a=1"],
    ):
        done = run_cli(*command)
        assert done.returncode == 1 and words in done.stderr and "Traceback" not in done.stderr, done
    assert task.exists() and len(list(spool.iterdir())) == 1


@root
@pytest.mark.parametrize(("make", "words", "remedy"), UNSAFE)
def test_directories_of_priorities(
    spooling: Spooling, make: Callable[[Path], None], words: str, remedy: str
) -> None:
    low, high = spooling.put(key="low", priority="5"), spooling.put(key="high", priority="1")
    make(spooling.directory / "5")
    with pytest.raises(AccessError, match=remedy):
        Writer(str(spooling.directory)).put(HEAD, priority="5")
    store = Store(str(spooling.directory))
    found = store.scan()
    assert found.due == [high] and len(found.refused) == 1 and words in found.refused[0]
    refusal = store.claim(low)
    assert isinstance(refusal, Refusal) and words in refusal.reason
    with spooling.start() as launcher:
        spooling.wait_runs(1)
        wait_until(lambda: words in launcher.stderr and remedy in launcher.stderr)
        with spooling_queue(spooling) as wake:
            wake(low)  # a name that comes by the queue
            spooling.spool(key="after")
            spooling.wait_runs(2)
    assert sorted(spooling.ran()) == ["after", "high"] and spooling.tasks() == [low]


class spooling_queue:  # noqa: N801 # used as a function
    """Send names to the spoolers of a bus, as the master does."""

    def __init__(self, spooling: Spooling) -> None:
        self._spooling = spooling

    def __enter__(self) -> Callable[[str], None]:
        import ipcmules
        from ipcmules.member import membership

        self._attached = ipcmules.attach(self._spooling.bus)
        spools = membership.current().spools
        return lambda name: spools.wake(str(self._spooling.directory), name)

    def __exit__(self, *_exception: object) -> None:
        self._attached.detach()


@root
def test_the_dead_are_not_raised_out_of_a_directory_of_others(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    name = Writer(str(spool)).put(HEAD)
    task = Store(str(spool)).claim(name)
    assert isinstance(task, Task)
    task.failed("no", "", attempts.Policy(1))
    (spool / "dead").chmod(0o777)
    done = run_cli("tasks", "retry", str(spool), "--all")
    assert done.returncode == 1 and "chmod o-w" in done.stderr
    (spool / "dead").chmod(0o700)
    assert run_cli("tasks", "retry", str(spool), "--all").returncode == 0


@root
def test_a_file_of_another_user_is_not_run(spooling: Spooling) -> None:
    theirs = spooling.put(key="theirs")
    os.chown(spooling.directory / theirs, NOBODY, -1)
    with spooling.start() as launcher:
        spooling.spool(key="ours")
        spooling.wait_runs(1)
        wait_until(lambda: f"its file belongs to uid {NOBODY}" in launcher.stderr)
    assert spooling.ran() == ["ours"] and spooling.tasks() == [theirs]


@root
def test_what_others_can_replace_on_the_way(tmp_path: Path) -> None:
    shared, mine = tmp_path / "shared", tmp_path / "mine"
    spool = mine / "spool"
    shared.mkdir()
    spool.mkdir(parents=True)
    (shared / "link").symlink_to(spool)
    below = shared / "below"
    below.mkdir()
    ways = (shared / "link", below, shared / "link" / ".." / "spool", shared / "missing")
    for path in ways:
        assert ownership.way_to(str(path)) == ""
    for make, words, remedy in (
        (change(0o777), "everybody can write to", "chmod o-w"),
        (change(0o770, gid=FOREIGN), "its group", "chmod g-w"),
    ):
        make(shared)
        for path in ways:
            with pytest.raises(AccessError) as caught:
                directory.prepare(str(path))
            assert words in str(caught.value) and f"{remedy} {shared}" in str(caught.value)
            with pytest.raises(AccessError, match=remedy):
                private_directory(str(path))
        assert ownership.way_to(str(spool)) == ""
        for refused in (
            lambda: Bus(spoolers=[shared / "link"]),
            lambda: Writer(str(shared / "link")).put(HEAD),
        ):
            with pytest.raises(AccessError, match=remedy):
                refused()
        os.chown(shared, 0, 0)
    # Its owner is relied on: a volume of another uid, from which a container's root runs the application.
    change(0o755, uid=NOBODY)(shared)
    assert all(ownership.way_to(str(path)) == "" for path in ways)
    os.chown(shared, 0, 0)
    # In a sticky directory, as /tmp is, nobody can rename what is ours; what is theirs they can.
    shared.chmod(0o1777)
    assert all(ownership.way_to(str(path)) == "" for path in ways)
    os.chown(shared / "link", NOBODY, -1, follow_symlinks=False)
    assert "everybody can write" in ownership.way_to(str(shared / "link"))


@root
def test_the_runtime_directory_and_the_state_directory(bus_env: BusEnvironment, bus_name: str) -> None:
    bus_env.directory.chmod(0o777)
    done = run_cli("run", "--bus", bus_name, "--", sys.executable, "-V")
    assert done.returncode == 1 and f"everybody can write to {bus_env.directory}" in done.stderr, done.stderr
    assert "IPCMULES_RUNTIME_DIR" in done.stderr


def test_a_group_that_is_this_users_alone(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    spool.chmod(0o770)
    own = ownership._is_own_group(spool.stat().st_gid)
    assert bool(ownership.problem_of(str(spool))) is not own
    if (
        subprocess.run(
            ["sh", "-c", 'exec setfacl "$@"', "sh", "-m", "u:nobody:rwx", spool],
            check=False,
            capture_output=True,
        ).returncode
        == 0
    ):
        assert "access list" in ownership.problem_of(str(spool))
