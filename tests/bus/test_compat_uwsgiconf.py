"""The runtime package of uwsgiconf from PyPI, as it is, on a bus with --compat: each module's main job."""

from __future__ import annotations

import sys
from pathlib import Path

import ipcmules
from scripts import write
from support import Launcher, wait_until

APP = """
    from uwsgiconf import uwsgi
    assert not uwsgi.is_stub

    def say(*words):
        print(" ".join(map(str, words)), flush=True)
"""


def bus(directory: Path, name: str, app: str, *options: str, command: str = "") -> Launcher:
    """A bus whose processes load app (after APP); command is a program that has all its names."""
    write(directory, "names.py", APP)
    write(directory, "app.py", "from names import *\n" + "\n".join(each[4:] for each in app.splitlines()))
    started = [sys.executable, str(write(directory, "command.py", command))] if command else []
    return Launcher("--bus", name, "--compat", "--import", "app", *options, command=started, cwd=directory)


def outcome(launcher: Launcher) -> list[str]:
    """What was said until the command ended, which must succeed."""
    with launcher:
        assert launcher.wait() == 0, launcher.output()
    assert "Traceback" not in launcher.stderr, launcher.stderr
    return sorted(launcher.stdout.splitlines())


def test_mules_and_farms(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    write(
        tmp_path,
        "programmed.py",
        """
        from names import say
        from uwsgiconf.runtime.mules import Farm, Mule

        for word in ("one", "two"):
            say(word, Mule.get_message(farms=True), Mule.get_current(), Farm("readers").is_mine)
        say(Mule.get_message(timeout=0) == "")
        while True:
            Mule.get_message()
        """,
    )
    app = """
    from uwsgiconf.runtime.mules import Farm, Mule, mule_offload

    @mule_offload(2)
    def second(*args, **kwargs):
        say("second", args, kwargs, Mule.get_current_id())

    @Mule(1).offload()
    def first(word):
        say("first", word, Mule.get_current())

    @Farm("writers").offload()
    def written(word):
        say("written", word, Farm("writers").is_mine, Farm("readers").is_mine)
    """
    command = """
        import app
        from uwsgiconf.runtime.mules import Farm, Mule

        assert Mule.get_current() is None and Mule.get_current_id() == 0
        assert app.second(1, b"2", three=[4]) and app.first("x")
        app.written("y")
        assert Mule(3).send("text")
        Farm("readers").send(b"bytes")
        try:
            Mule(9).send("nobody")
        except ValueError:
            app.say("there is no mule 9")
    """
    options = ("--mules", "2", "--mule=programmed.py", "--farm", "writers:1,2", "--farm", "readers:3")
    said = outcome(bus(tmp_path, bus_name, app, *options, command=command))
    heard = sorted(line.split()[1] for line in said if line.startswith(("one", "two")))
    assert heard == ["bytes", "text"]
    assert [line for line in said if not line.startswith(("one", "two"))] == [
        "True",
        "first x 1",
        "second (1, b'2') {'three': [4]} 2",
        "there is no mule 9",
        "written y True None",
    ]


def test_signals(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    app = """
    from uwsgiconf.runtime.mules import Farm, Mule
    from uwsgiconf.runtime.signals import REGISTERED_SIGNALS, Signal, get_last_received

    automatic, to_mule, to_farm = Signal(), Signal(20), Signal(21)

    @automatic
    def to_worker(number):
        say("worker", number == automatic.num, uwsgi.worker_id(), get_last_received().func is to_worker)

    @to_mule.register_handler(target=Mule(2))
    def in_mule(number):
        say("mule", number, uwsgi.mule_id(), get_last_received().num)

    @to_farm.register_handler(target=Farm("f"), callback=lambda s: say("registered", int(s), s.registered))
    def in_farm(number):
        say("farm", number, uwsgi.mule_id())
    """
    command = """
        import app
        assert set(app.REGISTERED_SIGNALS) == {app.automatic.num, 20, 21} and app.automatic.num not in (20, 21)
        for each in (app.automatic, app.to_mule, app.to_farm):
            each.send()
        try:
            app.Signal(300).send()
        except ValueError:
            app.say("no signal 300")
    """
    options = ("--mules", "2", "--farm", "f:1", "--processes", "1")
    said = outcome(bus(tmp_path, bus_name, app, *options, command=command))
    # The command has registered the handler too, so it is worker 2: whoever is free first takes the signal.
    assert {each.replace("worker True 2 True", "worker True 1 True") for each in said} == {
        "farm 21 1",
        "mule 20 2 20",
        "no signal 300",
        "registered 21 True",
        "worker True 1 True",
    }


def test_timers_crons_and_monitors(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    (tmp_path / "watched").write_text("old")
    app = """
    from uwsgiconf.runtime.monitoring import register_file_monitor
    from uwsgiconf.runtime.mules import Farm, Mule
    from uwsgiconf.runtime.scheduling import register_cron, register_timer, register_timer_ms, register_timer_rb
    from uwsgiconf.runtime.task_utils import TaskChecker

    @register_timer(1, target=Mule(1))
    def seconds():
        say("seconds", uwsgi.mule_id())

    @register_timer_ms(20, target="mule2")
    def milliseconds(number):
        say("milliseconds", type(number).__name__, uwsgi.mule_id())

    @register_timer_rb(1, repeat=1, target=Farm("f"))
    def once():
        say("once", uwsgi.mule_id())

    @register_timer_ms(20, target="mule1", checker=TaskChecker(checkers=[lambda task_name: True]))
    def never():
        say("never")

    @register_cron(minute="0-59/1", hour="0-23/1", target="mule")
    def emulated():
        say("cron")

    @register_file_monitor("watched", target="mule1")
    def changed():
        say("changed", uwsgi.mule_id())
    """
    with bus(tmp_path, bus_name, app, "--mules", "2", "--farm", "f:2") as launcher:
        (tmp_path / "watched").write_text("new")
        for line in ("seconds 1", "milliseconds int 2", "once 2", "changed 1"):
            launcher.wait_output(f"{line}\n")
        with ipcmules.attach(bus_name) as attached:
            events = attached.list_events()
            kinds = sorted(each["kind"] for each in events)
            assert kinds == ["cron", "file", "mstimer", "mstimer", "rbtimer", "timer"]
            (cron,) = (each for each in events if each["kind"] == "cron")
            attached.signal(
                cron["signal"]
            )  # as its minute will: that may come in the next second, or in an hour
        launcher.wait_output("cron\n")
    assert "Traceback" not in launcher.stderr, launcher.stderr
    assert launcher.stdout.count("once") == 1 and "never" not in launcher.stdout


def test_the_spooler(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    app = """
    import os
    from datetime import timedelta
    from uwsgiconf.runtime.spooler import ResultProcessed, Spooler, SpoolerTask

    second = Spooler(os.path.abspath("two"))

    @Spooler.task()
    def called(one, two=None):
        say("called", one, two, bool(uwsgi.i_am_the_spooler()))
        return True

    @second.task(postpone=timedelta(seconds=1))
    def elsewhere(word):
        say("elsewhere", word)
        return ResultProcessed(word)

    @Spooler.task(postpone=timedelta(days=1), priority=3)
    def tomorrow():
        say("too early")

    @Spooler.task()
    def skipped():
        say("skipped")  # and returns None, which leaves the task

    @Spooler.task()
    def broken():
        say("broken")
        raise ValueError("as it was told")

    class Own(SpoolerTask):
        type_id = "own"

        def process(self):
            say("own", self.message, len(self.payload))
            return self.mark_processed()
    """
    command = """
        import os, time
        import app
        from uwsgiconf.runtime.spooler import Spooler

        assert app.called(1, two=[2]) and app.elsewhere("there")
        Spooler.send_message_raw("ucfg_own", payload="y" * 100_000)
        task, left, failed = app.tomorrow(), app.skipped(), app.broken()
        read = Spooler.read_task_file(task.decode())
        assert read[b"msg"] == b"ucfg_fcall" and read[b"priority"] == b"3" and float(read[b"at"]) > 0, read
        assert len(Spooler.get_pids()) == 2 and Spooler.set_period(5) is True
        while not os.path.exists("enough"):
            time.sleep(0.01)
        assert all(map(os.path.exists, (task, left, failed)))
        assert task in Spooler.get_tasks(), Spooler.get_tasks()
    """
    options = ("--spooler", "one", "--spooler", "two", "--spooler-ordered")
    with bus(tmp_path, bus_name, app, *options, command=command) as launcher:
        for line in ("called 1 [2] True", "elsewhere there", "own ucfg_own 100000", "skipped", "broken"):
            launcher.wait_output(f"{line}\n")
        (tmp_path / "enough").touch()
        assert launcher.wait() == 0, launcher.output()
    assert "too early" not in launcher.stdout and "ValueError: as it was told" in launcher.stderr
    assert launcher.stdout.count("called") == launcher.stdout.count("elsewhere") == 1


def test_locks_calls_and_control(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    app = """
    from uwsgiconf.runtime.alarms import issue_alarm
    from uwsgiconf.runtime.control import harakiri_imposed, set_process_name
    from uwsgiconf.runtime.locking import Lock
    from uwsgiconf.runtime.logging import log_message
    from uwsgiconf.runtime.mules import mule_offload
    from uwsgiconf.runtime.platform import uwsgi as platform
    from uwsgiconf.runtime.rpc import get_rpc_list, make_rpc_call, register_rpc

    @platform.postfork_hooks.add()
    def forked():
        say("forked", uwsgi.mule_id())

    @register_rpc("exposed")
    def rpc(word, number=b"15"):
        return b"%d got %b %b" % (uwsgi.mule_id(), word, number)

    @mule_offload(1)
    def hold():
        with Lock(2):
            say("held")
            while not os.path.exists("enough"):
                time.sleep(0.01)

    @mule_offload(1)
    @harakiri_imposed(timeout=60)
    def named():
        set_process_name("a mule of uwsgiconf")
        with open("/proc/self/cmdline") as file:
            say("named", file.read().strip("\\0").strip())

    @Lock(1)
    def decorated():
        return Lock(1).is_set
    """.replace("    from uwsgiconf", "    import os, time\n    from uwsgiconf", 1)
    command = """
        import os, time
        from app import *

        assert decorated() is True and Lock(1).is_set is False
        with Lock():
            assert Lock().is_set
        hold()
        while not Lock(2).is_set:
            time.sleep(0.01)
        open("enough", "w").close()
        Lock(2).acquire() and Lock(2).release()
        named()
        assert "exposed" in get_rpc_list()
        say(make_rpc_call("exposed", args=["here"]))
        say(make_rpc_call("exposed", args=["there", 3], remote="mule1"))
        assert make_rpc_call("unknown") is make_rpc_call("unknown", remote="mule1") is None  # as in uWSGI
        log_message("a line of the log")
        issue_alarm("shout", b"fire")
        assert platform.master_pid == os.getppid()
        assert platform.config["own"] == "value" and platform.get_version(as_tuple=True)[0] == 2
        assert platform.hostname and platform.started_on and platform.clock and platform.memory
        assert platform.ready_for_requests is not None and len(platform.workers_info) == platform.workers_count
        while not os.path.exists("alarm"):
            time.sleep(0.01)
    """
    options = ("--mules", "1", "--locks", "2", "--set", "own=value", "--alarm", "shout cmd:cat >alarm")
    launcher = bus(tmp_path, bus_name, app, *options, command=command)
    assert outcome(launcher) == [
        "0 got here 15",
        "1 got there 3",
        "forked 1",
        "held",
        "named a mule of uwsgiconf",
    ]
    assert "a line of the log\n" in launcher.stderr


def test_what_is_not_here_is_quiet(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    """The modules import, since their names are there; without a cache or metrics calls do nothing, as there."""
    app = """
    from uwsgiconf.runtime import asynced, websockets
    from uwsgiconf.runtime.caching import Cache
    from uwsgiconf.runtime.monitoring import Metric
    """
    command = """
        from app import *

        cache = Cache("mycache")
        assert "key" not in cache and cache.get("key", default="nothing") == "nothing"
        cache.set("key", 1), Metric("m").incr(), asynced.suspend()
        say("key" in cache)
    """
    assert outcome(bus(tmp_path, bus_name, app, "--mules", "1", command=command)) == ["False"]


def test_a_stop_and_a_reload(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    app = """
    import os
    from uwsgiconf.runtime.control import reload, stop
    from uwsgiconf.runtime.mules import Mule
    from uwsgiconf.runtime.signals import Signal

    @Signal(1).register_handler(target="mule1")
    def again(number):
        reload()

    @Signal(2).register_handler(target="mule1")
    def end(number):
        stop()

    if not uwsgi.is_a_reload and not os.path.exists("loaded"):
        open("loaded", "w").close()
    else:
        say("loaded again")
    """
    with bus(tmp_path, bus_name, app, "--mules", "1") as launcher, ipcmules.attach(bus_name) as attached:
        attached.signal(1)
        launcher.wait_output("loaded again\n")
        wait_until(lambda: " reloaded: 1 process" in launcher.stderr, what="the reload's end")
        attached.signal(2)
        assert launcher.wait() == 0, launcher.output()
