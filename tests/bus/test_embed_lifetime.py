"""When an embedded bus begins and ends: twice, in forked children, and with a program that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import leftovers
import scripts
from support import wait_until


def test_twice_in_a_row_in_one_process(bus_env: object, tmp_path: Path) -> None:
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        import ipcmules

        def echo():
            while True:
                print(ipcmules.mule_get_msg().decode(), flush=True)

        if __name__ == "__main__":
            for name in (None, None, "named", "named"):
                bus = ipcmules.Bus(name, mules=[echo], locks=2)
                for turn in ("first", "second"):
                    with bus:
                        bus.mule_msg(turn)
                        assert bus.lock(2) and bus.is_locked(2)
                        assert bus.pid == bus.masterpid() > 0
                    assert bus.pid == 0 == ipcmules.masterpid()
                    try:
                        ipcmules.mule_msg(b"nobody")
                    except ipcmules.NotAttached:
                        print("on no bus", flush=True)
        """,
    )
    assert scripts.output(program).splitlines() == ["first", "on no bus", "second", "on no bus"] * 4


def test_a_forked_childs_exit_does_not_stop_the_parents_bus(bus_env: object, tmp_path: Path) -> None:
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        import os
        import sys
        import ipcmules

        def echo():
            while True:
                print(ipcmules.mule_get_msg().decode(), flush=True)

        def fork(ending):
            pid = os.fork()
            if pid == 0:
                ending()
                os._exit(9)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        def leave():
            bus.mule_msg("from a child")
            bus.stop()
            sys.exit(3)

        if __name__ == "__main__":
            parent = os.getpid()
            bus = ipcmules.Bus(mules=[echo])
            with bus:
                try:
                    assert fork(leave) == 3
                    assert fork(lambda: os._exit(4)) == 4
                except SystemExit:
                    assert os.getpid() != parent
                    raise
                assert bus.pid
                assert bus.mule_msg("from the parent")
        """,
    )
    assert sorted(scripts.output(program).splitlines()) == ["from a child", "from the parent"]


def test_everything_goes_when_the_program_is_killed(bus_env: object, tmp_path: Path) -> None:
    assert isinstance(bus_env, dict)
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        import json
        import os
        import time
        import ipcmules

        def busy():
            while True:
                ipcmules.mule_get_msg()
                time.sleep(0.5)

        if __name__ == "__main__":
            with ipcmules.Bus("killed", mules=[busy, None], processes=1, locks=1, mercy=5) as bus:
                bus.lock(1)
                for number in range(4):
                    bus.mule_msg("work", 1)
                print(json.dumps([os.getpid(), bus.pid]), flush=True)
                time.sleep(600)
        """,
    )
    runtime = Path(bus_env["IPCMULES_RUNTIME_DIR"])
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        pid, master = json.loads(process.stdout.readline())
        assert master in leftovers.processes(runtime)
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not leftovers.processes(runtime), 20, "the end of every process of the bus")
    assert not list(runtime.iterdir())


def test_a_program_that_never_stops_its_bus_ends_cleanly(bus_env: object, tmp_path: Path) -> None:
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        import ipcmules

        def echo():
            while True:
                print(ipcmules.mule_get_msg().decode(), flush=True)

        if __name__ == "__main__":
            bus = ipcmules.Bus(mules=[echo]).start()
            bus.mule_msg("last words")
        """,
    )
    assert scripts.output(program) == "last words\n"


def test_leaving_by_an_exception_stops_the_bus(bus_env: object, tmp_path: Path) -> None:
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        import ipcmules

        if __name__ == "__main__":
            with ipcmules.Bus(mules=1):
                raise KeyError("the program's own")
        """,
    )
    done = scripts.run(program)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith('KeyError: "the program\'s own"')


def test_ctrl_c_in_the_program_stops_its_bus_after_draining(bus_env: object, tmp_path: Path) -> None:
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        import signal, time
        import ipcmules

        # A suite that a shell runs in the background inherits it ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)

        def slow():
            while True:
                text = ipcmules.mule_get_msg().decode()
                time.sleep(0.1)
                print(text, flush=True)

        if __name__ == "__main__":
            with ipcmules.Bus(mules=[slow]) as bus:
                for number in range(5):
                    bus.mule_msg(str(number), 1)
                print("ready", flush=True)
                time.sleep(600)
        """,
    )
    with subprocess.Popen(
        [sys.executable, str(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)  # what a terminal does
        out, err = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT, err
    assert out.splitlines() == ["0", "1", "2", "3", "4"]
