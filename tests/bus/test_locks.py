"""Locks between real processes and threads: held by a thread, freed by the kernel, never lied about."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ipcmules.errors import BusStopped, LimitError, LockError, UnknownTarget
from ipcmules.locks import locks, semaphores
from ipcmules.locks.locks import Locks
from minibus import child, ended, until

Keys = tuple[int, ...]


@pytest.fixture
def keys() -> Iterator[Keys]:
    made = locks.create_new(3, lambda _keys: None)
    yield made
    locks.remove(made)


@pytest.fixture
def mine(keys: Keys) -> Locks:
    return Locks(keys)


@contextlib.contextmanager
def held_elsewhere(keys: Keys, number: int = 0) -> Iterator[int]:
    """Another process that holds a lock; gives its pid."""
    read, write = os.pipe()

    def hold() -> None:
        assert Locks(keys).lock(number)
        os.write(write, b"x")
        signal.pause()

    pid = child(hold)
    try:
        os.read(read, 1)
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            ended(pid)
        os.close(read)
        os.close(write)


def in_thread(function: Callable[[], object]) -> object:
    """Run function in a thread that has ended when this returns; its result, or the error it raised."""
    result: list[object] = []

    def run() -> None:
        try:
            result.append(function())
        except Exception as error:
            result.append(error)

    thread = threading.Thread(target=run, name="the-thread")
    thread.start()
    thread.join(30)
    return result[0]


def test_lock_and_unlock(mine: Locks) -> None:
    for number in range(3):
        assert not mine.is_locked(number)
        assert mine.lock(number)
        assert mine.is_locked(number)
        mine.unlock(number)
        assert not mine.is_locked(number)


def test_a_lock_keeps_other_processes_out(keys: Keys) -> None:
    """A shared number that would lose increments without the lock."""
    import mmap

    shared = mmap.mmap(-1, 8)

    def count() -> None:
        here = Locks(keys)
        for _ in range(500):
            here.lock(1)
            value = int.from_bytes(shared[:8], "little")
            if value % 50 == 0:
                time.sleep(0)
            shared[:8] = (value + 1).to_bytes(8, "little")
            here.unlock(1)

    pids = [child(count) for _ in range(4)]
    assert [ended(pid) for pid in pids] == [0] * 4
    assert int.from_bytes(shared[:8], "little") == 2000


@pytest.mark.slow
def test_a_thousand_times_a_killed_holder_frees_the_lock(keys: Keys, tmp_path: Path) -> None:
    """The killing and forking is done by a small process, so that it is quick."""
    program = tmp_path / "program.py"
    program.write_text(
        "import os, signal, sys\n"
        "from ipcmules.locks.locks import Locks\n"
        "keys = tuple(map(int, sys.argv[1:]))\n"
        "mine = Locks(keys)\n"
        "read, write = os.pipe()\n"
        "for _ in range(1000):\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "        mine.after_fork()\n"
        "        assert mine.lock(2)\n"
        "        os.write(write, b'x')\n"
        "        signal.pause()\n"
        "    os.read(read, 1)\n"
        "    assert mine.is_locked(2)\n"
        "    assert not mine.lock(2, 0)\n"
        "    os.kill(pid, signal.SIGKILL)\n"
        "    assert mine.lock(2, 10), 'not free'\n"
        "    mine.unlock(2)\n"
        "    os.waitpid(pid, 0)\n"
        "assert not mine.is_locked(2)\n"
        "print('1000 times')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(program), *map(str, keys)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.returncode) == ("1000 times\n", 0), done.stderr


def test_a_waiter_gets_the_lock_when_its_holder_is_killed(keys: Keys, mine: Locks) -> None:
    with held_elsewhere(keys) as pid:
        threading.Timer(0.1, os.kill, (pid, signal.SIGKILL)).start()
        assert mine.lock(0)
    mine.unlock(0)


def test_timeouts(keys: Keys, mine: Locks) -> None:
    with held_elsewhere(keys):
        for timeout in (0, 0.0, 0.05, 0.2):
            began = time.monotonic()
            assert mine.lock(0, timeout) is False
            assert time.monotonic() - began >= timeout
    assert mine.lock(0, float("inf"))
    mine.unlock(0)


def test_a_timeout_survives_python_signal_handlers(keys: Keys, mine: Locks) -> None:
    calls: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _frame: calls.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        with held_elsewhere(keys):
            began = time.monotonic()
            while len(calls) <= 3:  # they are one call while this process gets no processor
                one = time.monotonic()
                assert mine.lock(0, 0.3) is False
                assert time.monotonic() - one >= 0.3
                assert one - began < 60
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_what_a_signal_handler_raises_ends_the_wait(keys: Keys, mine: Locks) -> None:
    def give_up(_number: int, _frame: object) -> None:
        raise InterruptedError("enough")

    before = signal.signal(signal.SIGALRM, give_up)
    try:
        with held_elsewhere(keys):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(InterruptedError, match="enough"):
                mine.lock(0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert mine.lock(0, 10)  # it is not held by this thread, and not lost
    mine.unlock(0)


def test_taking_twice_in_a_thread_is_an_error(mine: Locks) -> None:
    mine.lock(1)
    with pytest.raises(LockError, match="this thread holds lock 1 already"):
        mine.lock(1)
    with pytest.raises(LockError, match="this thread holds lock 1 already"):
        mine.lock(1, 0)
    mine.unlock(1)


def test_another_thread_waits_like_another_process(mine: Locks) -> None:
    mine.lock(1)
    assert in_thread(lambda: mine.lock(1, 0.05)) is False
    taken = threading.Event()

    def take() -> None:
        mine.lock(1)
        taken.set()
        mine.unlock(1)

    thread = threading.Thread(target=take)
    thread.start()
    assert not taken.wait(0.1)
    mine.unlock(1)
    assert taken.wait(10)
    thread.join(10)


def test_unlocking_what_one_does_not_hold(keys: Keys, mine: Locks) -> None:
    with pytest.raises(
        LockError, match="this thread does not hold lock 0, so it cannot unlock it: nobody does"
    ):
        mine.unlock(0)
    with held_elsewhere(keys) as pid, pytest.raises(LockError, match=rf"another process \(last pid {pid}\)"):
        mine.unlock(0)
    mine.lock(2)
    error = in_thread(lambda: mine.unlock(2))
    assert isinstance(error, LockError)
    assert "thread 'MainThread' of this process holds it, and frees it by unlock() or when it ends" in str(
        error
    )
    assert mine.is_locked(2)
    mine.unlock(2)
    with pytest.raises(LockError):
        mine.unlock(2)


def test_a_thread_that_ends_frees_its_locks(keys: Keys, mine: Locks) -> None:
    assert in_thread(lambda: mine.lock(1)) is True
    until(lambda: not mine.is_locked(1), "the lock is free")
    with pytest.raises(LockError, match="nobody does"):
        mine.unlock(1)
    assert Locks(keys).lock(1, 0)


def test_a_forked_child_holds_nothing_and_frees_nothing(mine: Locks) -> None:
    mine.lock(0)

    def in_child() -> None:
        mine.after_fork()
        with pytest.raises(LockError):
            mine.unlock(0)
        assert mine.lock(0, 0.02) is False
        assert mine.lock(1)  # freed by the child's end

    assert ended(child(in_child)) == 0
    assert mine.is_locked(0)
    assert mine.lock(1, 10)
    mine.unlock(0)
    mine.unlock(1)
    assert not mine.is_locked(0)


@pytest.mark.parametrize("number", [3, -1, 99])
def test_a_lock_the_bus_does_not_have(mine: Locks, number: int) -> None:
    for call in (mine.lock, mine.unlock, mine.is_locked):
        with pytest.raises(
            UnknownTarget, match=rf"unknown lock {number}: this bus has locks 0 to 2.*--locks"
        ):
            call(number)


@pytest.mark.parametrize("number", ["name", "0", True, 1.0, None])
def test_a_lock_is_a_number(mine: Locks, number: object) -> None:
    mine.lock(0)
    mine.lock(1)  # True == 1 == 1.0 must not find it
    for call in (mine.lock, mine.unlock, mine.is_locked):
        with pytest.raises(TypeError, match="a lock is a number from 0 to 2"):
            call(number)  # type: ignore[operator]
    with pytest.raises(TypeError, match=r"the decorator is ipcmules\.decorators\.lock"):
        mine.lock(print)  # type: ignore[arg-type]
    mine.unlock(0)
    mine.unlock(1)


@pytest.mark.parametrize("timeout", [-1, -0.5, float("nan")])
def test_timeouts_that_make_no_sense(mine: Locks, timeout: float) -> None:
    with pytest.raises(ValueError, match=r"timeout=.*: give seconds, 0 or more"):
        mine.lock(0, timeout)


@pytest.mark.parametrize("timeout", [True, "1"])
def test_timeouts_of_a_wrong_type(mine: Locks, timeout: object) -> None:
    with pytest.raises(TypeError, match="give seconds as a number"):
        mine.lock(0, timeout)  # type: ignore[arg-type]


def test_the_end_of_the_bus_ends_a_wait(keys: Keys, mine: Locks) -> None:
    with held_elsewhere(keys):
        threading.Timer(0.1, locks.remove, (keys,)).start()
        with pytest.raises(BusStopped, match="its bus has stopped"):
            mine.lock(0)
    for call in (mine.lock, mine.is_locked, Locks(keys).lock):
        with pytest.raises(BusStopped):
            call(0)


def test_a_lock_held_at_the_end_of_the_bus_can_still_be_put_down(keys: Keys, mine: Locks) -> None:
    mine.lock(0)
    locks.remove(keys)
    mine.unlock(0)


def test_keys_are_announced_before_they_exist(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """And after a collision others are, until all of them are ours."""
    picked = [(keys[0], 77_000_001), (77_000_002, keys[1]), semaphores.new_keys(2)]
    announced: list[Keys] = []
    monkeypatch.setattr(semaphores, "new_keys", lambda _count: picked[len(announced)])
    made = locks.create_new(2, announced.append)
    assert announced == picked
    assert made == picked[2]
    locks.remove(made)
    for left in (77_000_001, 77_000_002):
        with pytest.raises(BusStopped):
            semaphores.open_semaphore(left)


def test_removing_what_is_not_there() -> None:
    locks.remove(locks.new_keys(3))
    locks.remove(())


def test_keys_are_distinct_and_never_private() -> None:
    keys = locks.new_keys(5000)
    assert len(set(keys)) == 5000
    assert all(0 < each < 2**31 for each in keys)


def test_no_room_for_semaphores_names_the_remedy() -> None:
    """In an IPC namespace of its own, where the limit can be lowered."""
    import shutil

    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("needs root and unshare")
    code = (
        "from ipcmules.locks import locks; from ipcmules import errors\n"
        "try: locks.create_new(9, lambda keys: None)\n"
        "except errors.LimitError as error: print(error)\n"
        "import os; print(os.popen('ipcs -s').read().count('0x'))"
    )
    script = 'echo \'250 32000 32 5\' > /proc/sys/kernel/sem && exec "$0" -c "$1"'
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = ["unshare", "--ipc", "sh", "-c", script, sys.executable, code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode and "denied" in done.stderr:
        pytest.skip("namespaces are not allowed here")
    assert "9 locks need 9 System V semaphores" in done.stdout, done.stderr
    assert "sysctl -w kernel.sem='250 32009 32 14'" in done.stdout
    assert done.stdout.endswith("\n0\n")


def test_the_error_classes_are_those_of_the_contract() -> None:
    assert issubclass(LockError, ValueError)
    assert issubclass(LimitError, OSError)
