"""Spoolers as processes of a bus: status, stop, reload, numbers of tasks, rest, signals, a killed master."""

from __future__ import annotations

import os
import signal
import time

import pytest

import ipcmules
from conftest import BusEnvironment
from scripts import write
from spoolers import Spooling
from support import run_cli, wait_until


@pytest.fixture
def spooling(bus_env: BusEnvironment, bus_name: str) -> Spooling:
    return Spooling(bus_env.directory, bus_name)


def test_status_shows_each_spooler_and_what_it_runs(spooling: Spooling) -> None:
    go, second = spooling.home / "go", spooling.home / "second"
    with spooling.start("--spooler", str(second), "--spooler-processes", "2", "--mules", "1"):
        name = spooling.spool(do="wait", file=str(go))
        spooling.wait_runs(1)
        found = spooling.status()
        text = run_cli("status", "--bus", spooling.bus).stdout
        go.touch()
        spooling.wait_empty()
        after = spooling.status()
    assert [each["id"] for each in found["spoolers"]] == [1, 2, 3, 4]
    assert [each["directory"] for each in found["spoolers"]] == [str(spooling.directory)] * 2 + [
        str(second)
    ] * 2
    # The other one may be looking at the same task, to see that it is taken.
    busy = [each for each in found["spoolers"] if each["doing"] == "task"]
    assert [(each["task"], each["state"], each["doing"]) for each in busy] == [(name, "busy", "task")]
    assert "spooler 4" in text
    assert len(found["mules"]) == 1
    assert sum(each["tasks"] for each in after["spoolers"]) == 1
    assert second.stat().st_mode & 0o777 == 0o750


def test_a_stop_finishes_the_task_in_hand_and_leaves_the_rest(spooling: Spooling) -> None:
    go = spooling.home / "go"
    with spooling.start() as launcher:
        spooling.spool(key="in hand", do="wait", file=str(go))
        spooling.wait_runs(1)
        left = [spooling.spool(key=f"left{number}") for number in range(3)]
        launcher.process.send_signal(signal.SIGTERM)
        wait_until(lambda: spooling.status()["state"] == "stopping", what="the stop")
        go.touch()
        assert launcher.wait() == 0
    assert spooling.ran() == ["in hand"]
    assert spooling.tasks() == sorted(left)
    assert spooling.ours() == []
    with spooling.start():
        spooling.wait_empty()
    assert spooling.ran()[1:] == ["left0", "left1", "left2"]


def test_a_task_that_outlives_the_mercy_runs_again_and_that_is_no_attempt(spooling: Spooling) -> None:
    with spooling.start("--mule-reload-mercy", "0.3") as launcher:
        name = spooling.spool(key="long", do="hang")
        spooling.wait_runs(1)
        launcher.stop()
    assert spooling.tasks() == [name]
    assert spooling.record(name).attempts == 0
    assert "within the mercy of a stop or a reload: no attempt, it runs again" in launcher.stderr


def test_a_reload_brings_new_code_and_loses_nothing(spooling: Spooling) -> None:
    with spooling.start("--spooler-processes", "2") as launcher:
        before = {each["pid"] for each in spooling.status()["spoolers"]}
        for number in range(50):
            spooling.spool(key=f"a{number}", do="slow", seconds="0.01")
        source = spooling.app.read_text()
        spooling.app.write_text(source.replace("note(task=task, types", 'note(code="new", task=task, types'))
        assert run_cli("reload", "--bus", spooling.bus).returncode == 0, launcher.output()
        spooling.spool(key="after")
        spooling.wait_runs(51)
        spooling.wait_empty()
        after = {each["pid"] for each in spooling.status()["spoolers"]}
    assert sorted(spooling.ran()) == sorted([*(f"a{number}" for number in range(50)), "after"])
    assert spooling.runs()[-1].get("code") == "new"
    assert not before & after


def test_touch_spoolers_reload_replaces_spoolers_alone(spooling: Spooling) -> None:
    touched = spooling.home / "touched"
    touched.touch()
    with spooling.start("--mules", "1", "--touch-spoolers-reload", str(touched)) as launcher:
        before = spooling.status()
        os.utime(touched, (1, 1))
        wait_until(lambda: "reloaded: 1 processes" in launcher.stderr, what="the reload")
        after = spooling.status()
    assert before["mules"][0]["pid"] == after["mules"][0]["pid"]
    assert before["spoolers"][0]["pid"] != after["spoolers"][0]["pid"]


def test_a_spooler_is_replaced_after_its_number_of_tasks(spooling: Spooling) -> None:
    with spooling.start("--spooler-max-tasks", "3") as launcher:
        for number in range(9):
            spooling.spool(key=f"n{number}")
        spooling.wait_runs(9)
    counts = [each["pid"] for each in spooling.runs()]
    assert [counts.count(pid) for pid in dict.fromkeys(counts)] == [3, 3, 3]
    assert "number of messages or tasks" in launcher.stderr


def test_cheap_spoolers_rest_and_come_back_for_tasks_signals_and_times(spooling: Spooling) -> None:
    app = write(
        spooling.home,
        "signal_app.py",
        f"""
        import ipcmules
        def handler(number):
            open({str(spooling.home / "signalled")!r}, "w").close()
        ipcmules.register_signal(9, "spooler", handler)
        """,
    )
    options = ("--spooler-processes", "2", "--spooler-cheap", "--import", str(app))
    with spooling.start(*options, "--spooler-frequency", "3600") as launcher:

        def resting() -> bool:
            return all(not each["pid"] for each in spooling.status()["spoolers"])

        wait_until(resting, what="rest")
        spooling.spool(key="one")
        spooling.wait_runs(1)
        wait_until(resting, what="rest")
        spooling.raw("two", spooling.task(key="two"))
        spooling.wait_runs(2)
        wait_until(resting, what="rest")
        with ipcmules.attach(spooling.bus) as bus:
            bus.signal(9)
            spooling.spool(key="three", at=time.time() + 4)
        wait_until((spooling.home / "signalled").exists, what="the signal")
        wait_until(resting, what="rest")
        spooling.wait_runs(3)
    assert spooling.ran() == ["one", "two", "three"]
    assert launcher.code == 0


def test_signals_to_the_spoolers_and_to_a_directory(spooling: Spooling) -> None:
    second = spooling.home / "second"
    link = spooling.home / "link"
    link.symlink_to(second)
    app = write(
        spooling.home,
        "signal_app.py",
        f"""
        import os, ipcmules
        def any_spooler(number):
            with open({str(spooling.home / "signals")!r}, "a") as file:
                file.write(f"any {{ipcmules.i_am_the_spooler()}}\\n")
        def of_directory(number):
            with open({str(spooling.home / "signals")!r}, "a") as file:
                ids = f"{{ipcmules.mule_id()}} {{ipcmules.worker_id()}}"
                file.write(f"second {{ipcmules.spooler_dir()}} {{ids}}\\n")
        ipcmules.register_signal(9, "spooler", any_spooler)
        ipcmules.register_signal(10, {str(link)!r}, of_directory)
        ipcmules.register_signal(11, "/nowhere", of_directory)
        """,
    )
    found = spooling.home / "signals"
    options = ("--spooler", str(second), "--import", str(app), "--mules", "1")
    with spooling.start(*options) as launcher, ipcmules.attach(spooling.bus) as bus:
        for _ in range(50):
            bus.signal(9)
            bus.signal(10)
        bus.signal(11)
        wait_until(lambda: found.exists() and found.read_text().count("\n") == 100, what="100 signals")
    lines = found.read_text().splitlines()
    assert lines.count("any True") == 50
    assert lines.count(f"second {second} 0 0") == 50
    assert launcher.code == 0


def test_a_signal_counts_as_a_task_where_asked(spooling: Spooling) -> None:
    app = write(
        spooling.home,
        "signal_app.py",
        "import ipcmules\nipcmules.register_signal(9, 'spooler', lambda number: None)\n",
    )
    options = ("--spooler-max-tasks", "2", "--spooler-signal-as-task", "--import", str(app))
    with spooling.start(*options) as launcher, ipcmules.attach(spooling.bus) as bus:
        bus.signal(9)
        bus.signal(9)
        wait_until(lambda: "number of messages or tasks" in launcher.stderr, what="a successor")


def test_what_a_bus_says_of_its_spoolers(spooling: Spooling) -> None:
    go = spooling.home / "go"
    with spooling.start("--spooler-processes", "2") as launcher:
        name = spooling.spool(key="running", do="wait", file=str(go))
        later = spooling.spool(key="later", at=time.time() + 3600)
        spooling.wait_runs(1)
        with ipcmules.attach(spooling.bus) as bus:
            assert bus.spoolers() == (str(spooling.directory),) * 2
            assert bus.spooler_dir() == str(spooling.directory)
            assert bus.spooler_pids() == [each["pid"] for each in spooling.status()["spoolers"]]
            assert bus.spooler_pid() == bus.spooler_pids(str(spooling.directory))[0]
            assert bus.spooler_jobs() == [f"{spooling.directory}/{each}" for each in (name, later)]
            task = bus.spooler_get_task(f"{spooling.directory}/{later}")
            assert task is not None
            assert task[b"key"] == b"later"
            assert task["spooler_task_name"] == later.encode()
            assert bus.spooler_get_task(f"{spooling.directory}/no-such") is None
            assert not bus.i_am_the_spooler()
            with pytest.raises(ValueError, match="more than 0"):
                bus.set_spooler_frequency(0)
            with pytest.raises(ipcmules.UnknownTarget, match="none of this bus"):
                bus.spooler_pids("/nowhere")
        go.touch()
    assert launcher.code == 0


def test_the_frequency_can_be_set_while_it_runs(spooling: Spooling) -> None:
    with spooling.start("--spooler-frequency", "3600"):
        spooling.spool(do="leave")
        spooling.wait_runs(1)
        with ipcmules.attach(spooling.bus) as bus:
            bus.set_spooler_frequency(0.1)
            spooling.spool(do="leave")
            spooling.wait_runs(5)


def test_a_running_task_can_look_at_itself_without_losing_its_lock(spooling: Spooling) -> None:
    app = write(
        spooling.home,
        "look_app.py",
        """
        import json, os, ipcmules
        from ipcmules.spooler import claim
        def run(env):
            path = os.path.join(ipcmules.spooler_dir(), env["spooler_task_name"].decode())
            seen = ipcmules.spooler_get_task(path)
            code = "import sys; from ipcmules.spooler import claim; print(claim.running(sys.argv[1]))"
            import subprocess, sys
            holder = int(subprocess.check_output([sys.executable, "-c", code, path]))
            with open("../seen", "w") as file:
                json.dump([seen == env, path in ipcmules.spooler_jobs(), holder == os.getpid()], file)
            os.rename("../seen", "../looked")
            return ipcmules.SPOOL_OK
        ipcmules.set_spooler(run)
        """,
    )
    with spooling.start("--import", str(app)):
        spooling.spool(key="x", body="y")
        wait_until((spooling.home / "looked").exists, what="the look")
    assert (spooling.home / "looked").read_text() == "[true, true, true]"


def test_a_child_that_a_task_forks_does_not_touch_the_task(spooling: Spooling) -> None:
    app = write(
        spooling.home,
        "fork_app.py",
        """
        import os, sys, ipcmules
        def run(env):
            how = env[b"how"]
            child = os.fork()
            if not child:
                if how == b"exit":
                    sys.exit(5)
                if how == b"raise":
                    raise ValueError("in the child")
                return ipcmules.SPOOL_OK
            os.waitpid(child, 0)
            path = os.path.join(ipcmules.spooler_dir(), env["spooler_task_name"].decode())
            with open(f"../{how.decode()}", "w") as file:
                file.write(f"{os.path.exists(path)} {oct(os.stat(path).st_mode)}")
            return ipcmules.SPOOL_OK
        ipcmules.set_spooler(run)
        """,
    )
    with spooling.start("--import", str(app)):
        for how in ("exit", "raise", "return"):
            spooling.spool(how=how)
        spooling.wait_empty()
        pid = spooling.status()["spoolers"][0]["pid"]
        assert spooling.status()["spoolers"][0]["respawns"] == 0
        assert os.path.exists(f"/proc/{pid}")
    for how in ("exit", "raise", "return"):
        assert (spooling.home / how).read_text() == "True 0o100600"
    assert spooling.ours() == []


def test_a_killed_master_leaves_the_task_in_hand_to_its_end(
    spooling: Spooling, bus_env: BusEnvironment
) -> None:
    go = spooling.home / "go"
    with spooling.start("--spooler-processes", "2") as launcher:
        spooling.spool(key="in hand", do="wait", file=str(go))
        (ran,) = spooling.wait_runs(1)
        pids = [each["pid"] for each in spooling.status()["spoolers"]]
        launcher.process.kill()
        launcher.wait()
        idle = next(each for each in pids if each != ran["pid"])
        wait_until(lambda: not os.path.exists(f"/proc/{idle}"), what="the idle one's end")
        spooling.put(key="meanwhile")
        assert os.path.exists(f"/proc/{ran['pid']}")
        go.touch()
        wait_until(lambda: not os.path.exists(f"/proc/{ran['pid']}"), what="the busy one's end")
        assert len(spooling.tasks()) == 1
    with spooling.start():
        spooling.wait_empty()
    assert spooling.ran() == ["in hand", "meanwhile"]
    assert spooling.ours() == []
