"""Signals go to the very process that is meant: never to a number that may be somebody else's by now."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ipcmules
from conftest import BusEnvironment
from ipcmules.kernel import kill, processes
from ipcmules.kernel.processes import ProcessId
from support import Launcher, wait_until

PACKAGE = Path(ipcmules.__file__).parent
#: What sends a signal to a number. Popen's methods too: who waits for children besides has let the pid go.
SENDERS = {"kill", "killpg", "pidfd_send_signal", "pthread_kill", "terminate", "send_signal"}


def sleeper(**more: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"], **more)  # type: ignore[call-overload]


def identity(process: subprocess.Popen[bytes]) -> ProcessId:
    return ProcessId(process.pid, processes.start_time(process.pid))


def test_nobody_else_sends_signals_to_pids() -> None:
    found = []
    for path in PACKAGE.rglob("*.py"):
        if path.name == "kill.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            if node.func.attr in SENDERS and owner not in ("packets", "_wire"):
                found.append(f"{path}:{node.lineno}: {ast.unparse(node.func)}")
    # The command's cron list has a kill() of its own.
    assert [each for each in found if "crons.kill" not in each] == []


def test_a_pid_that_is_another_process_gets_nothing() -> None:
    with sleeper() as process:
        try:
            me = identity(process)
            assert not kill.send(ProcessId(me.pid, me.start - 1), signal.SIGKILL)
            assert not kill.send(ProcessId(me.pid, 0), signal.SIGKILL)
            for number in (0, -1, 1):
                assert not kill.send(ProcessId(number, 0), signal.SIGKILL)
                assert not kill.send_to_child(number, signal.SIGKILL)
            assert not kill.send_to_child(os.getppid(), 0)
            assert process.poll() is None
            assert kill.send(me, signal.SIGTERM)
            assert process.wait(10) == -signal.SIGTERM
            assert not kill.send(me, signal.SIGTERM)
            assert not kill.send_to_child(me.pid, signal.SIGTERM)
        finally:
            process.kill()


def test_without_descriptors_children_are_reached(tmp_path: Path) -> None:
    program = (
        "import os, resource, signal, sys\n"
        "from ipcmules.kernel import kill, processes\n"
        "pid = os.fork()\n"
        "if not pid: signal.pause()\n"
        "me = processes.ProcessId(pid, processes.start_time(pid))\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "assert kill.send_to_child(pid, signal.SIGTERM)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -15\n"
        "assert not kill.send_to_child(pid, signal.SIGTERM)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)


def test_a_group_without_its_leader_is_told_member_by_member() -> None:
    program = (
        "import os, subprocess; os.setpgid(0, 0)\n"
        "print(subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL).pid, flush=True)\n"
        "input()"
    )
    leader = subprocess.Popen(
        [sys.executable, "-S", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert leader.stdout
    member = int(leader.stdout.readline())
    me = identity(leader)
    leader.communicate(b"\n", timeout=10)
    assert kill.group_exists(me.pid)
    start = processes.start_time(member)
    # A group of that number that is another's: begun before, or in another session.
    assert not kill.send_to_group(ProcessId(me.pid, start + 1000), signal.SIGKILL)
    assert processes.start_time(member) == start
    assert kill.send_to_group(me, signal.SIGKILL)
    wait_until(lambda: not processes.start_time(member), what="the member's end")


def test_a_group_of_another_session_is_not_ours() -> None:
    with sleeper(start_new_session=True) as process:
        me = identity(process)
        try:
            assert processes.group_members(me.pid, os.getsid(0)) == []
            assert processes.group_members(me.pid, me.pid) == [me]
        finally:
            process.kill()


@pytest.mark.parametrize("call", ["reload", "stop"])
def test_the_end_of_the_bus_under_uwsgi_calls(bus_env: BusEnvironment, bus_name: str, call: str) -> None:
    """uwsgi.stop() of a bus whose master was killed: None, and nobody gets a signal."""
    bus_env.may_leave_objects("the master is killed")
    program = (
        "import sys, signal\n"
        "import ipcmules; from ipcmules.compat import uwsgi\n"
        "ipcmules.attach(sys.argv[1])\n"
        "print('on', uwsgi.masterpid() > 0, flush=True)\n"
        "sys.stdin.readline()\n"
        f"print(uwsgi.{call}(), flush=True)\n"
    )
    with (
        Launcher("--bus", bus_name, "--mules", "1") as launcher,
        subprocess.Popen(
            [sys.executable, "-c", program, bus_name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "on True\n"
        launcher.process.kill()
        launcher.process.wait()
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "None\n"
        assert process.wait(10) == 0


def test_a_process_that_becomes_a_child_gets_its_signal() -> None:
    """What the template forks is the master's child only once the process in between has ended."""
    reader, writer = os.pipe()
    between = os.fork()
    if not between:
        child = os.fork()
        if not child:
            signal.pause()
            os._exit(0)
        os.write(writer, b"%d\n" % child)
        _pid, status = os.waitpid(child, 0)
        os._exit(os.WTERMSIG(status))
    try:
        pid = int(os.read(reader, 32))
        assert not kill.is_our_child(pid)
        assert kill.send_to_child(pid, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(between, 0)[1]) == signal.SIGTERM
    finally:
        os.close(reader)
        os.close(writer)
