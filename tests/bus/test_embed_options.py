"""What Bus(...) takes beside mules and farms, and Bus.reload(), each seen at work in a program."""

from __future__ import annotations

from pathlib import Path

import scripts

APP = """
import os
import ipcmules

def main():
    print("version", {version}, flush=True)
    while True:
        text = ipcmules.mule_get_msg().decode()
        if text == "die":
            os.abort()
        print({version}, text, flush=True)
"""


def app(directory: Path, version: int, more: str = "") -> None:
    scripts.write(directory, "app.py", APP.format(version=version) + more)


def test_reload_brings_the_new_code_or_says_why_not(bus_env: object, tmp_path: Path) -> None:
    app(tmp_path, 1)
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        import sys
        import pathlib
        import ipcmules

        sys.dont_write_bytecode = True  # two versions of one second look the same to the import system
        import os
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

        def local():
            while True:
                print("local", ipcmules.mule_get_msg().decode(), flush=True)

        if __name__ == "__main__":
            path = pathlib.Path("app.py")
            source = path.read_text()
            with ipcmules.Bus(mules=["app:main", local], imports=["app.py"]) as bus:
                bus.mule_msg("one", 1)
                path.write_text(source.replace("1", "2"))
                bus.reload()
                bus.mule_msg("two", 1)
                bus.mule_msg("two", 2)
                path.write_text("raise KeyError('broken on purpose')")
                try:
                    bus.reload()
                except ipcmules.ReloadError as error:
                    assert "KeyError: 'broken on purpose'" in str(error), error
                    assert "the old code goes on" in str(error), error
                    print("refused", flush=True)
                bus.mule_msg("three", 1)
                path.write_text(source.replace("1", "4"))
                bus.reload()
                bus.mule_msg("four", 1)
                pid = bus.pid
            try:
                bus.reload()
            except ipcmules.NotAttached as error:
                print(error, flush=True)
        """,
    )
    lines = scripts.output(program).splitlines()
    for wanted in ("1 one", "2 two", "local two", "refused", "2 three", "4 four"):
        assert lines.count(wanted) == 1, (wanted, lines)
    assert lines[-1].endswith("does not run in this program: start() it first")


def test_a_master_that_ends_meanwhile(bus_env: object, tmp_path: Path) -> None:
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        import os
        import signal
        import ipcmules

        if __name__ == "__main__":
            bus = ipcmules.Bus(mules=1).start()
            os.kill(bus.pid, signal.SIGSTOP)
            os.kill(bus.pid, signal.SIGTERM)
            import threading
            threading.Timer(0.3, os.kill, (bus.pid, signal.SIGCONT)).start()
            try:
                bus.reload()
            except ipcmules.BusStopped as error:
                print(error)
            except ipcmules.ReloadError as error:
                print("stopped meanwhile" if "stopped meanwhile" in str(error) else error)
            bus.stop()
        """,
    )
    assert scripts.output(program).strip() != ""


def test_deaths_hooks_harakiri_and_recycling(bus_env: object, tmp_path: Path) -> None:
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        import os
        import time
        import ipcmules
        from ipcmules.messages import kept
        from ipcmules.bus.places import places

        def hook(message):
            if message == b"raise":
                raise ValueError("on purpose")
            if message == b"abort":
                os.abort()
            if message == b"sleep":
                time.sleep(600)
            print("hook", message.decode(), os.getpid(), flush=True)
            if message == b"249":
                open("all", "w").close()

        ipcmules.install_mule_msg_hook(hook)

        def letters():
            found = []
            for path in kept.listing(places("options")):
                try:
                    letter = kept.load(path)
                except OSError:
                    continue  # it was waiting to be queued again, and is by now
                if not letter.again:
                    found.append(letter.data)
            return found

        def wait(condition):
            deadline = time.monotonic() + 30
            while not condition():
                assert time.monotonic() < deadline, letters()
                time.sleep(0.01)

        if __name__ == "__main__":
            with ipcmules.Bus("options", mules=1, harakiri=0.5, on_mule_death="requeue", max_requeues=1,
                              on_hook_error="keep", max_messages=100) as bus:
                bus.mule_msg("raise", 1)
                wait(lambda: letters() == [b"raise"])
                bus.mule_msg("abort", 1)  # once more after its first death, then a dead letter
                wait(lambda: sorted(letters()) == [b"abort", b"raise"])
                bus.mule_msg("sleep", 1)
                wait(lambda: sorted(letters()) == [b"abort", b"raise", b"sleep"])
                for number in range(250):
                    bus.mule_msg(str(number), 1)
                wait(lambda: os.path.exists("all"))  # a stop drains whatever is queued, uncounted
        """,
    )
    done = scripts.run(program)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [words[1] for words in lines] == [str(number) for number in range(250)]
    assert len({words[2] for words in lines}) >= 3  # recycled after a hundred, twice
    assert "harakiri" in done.stderr.lower() and " in hook" in done.stderr, done.stderr


def test_daemons_touch_reload_and_arguments(bus_env: object, tmp_path: Path) -> None:
    scripts.write(
        tmp_path,
        "mule.py",
        """
        import sys
        import ipcmules
        print("mule", *sys.argv[1:], flush=True)
        ipcmules.mule_get_msg()
        """,
    )
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        import pathlib
        import time
        import ipcmules

        def wait(condition):
            deadline = time.monotonic() + 30
            while not condition():
                assert time.monotonic() < deadline
                time.sleep(0.01)

        if __name__ == "__main__":
            here = pathlib.Path("touched")
            there = pathlib.Path("daemon")
            with ipcmules.Bus(mules=["mule.py"], pyargv=["a b", "c"], touch_reload=[here],
                              daemons=["echo $$ > daemon; exec sleep 600"]) as bus:
                wait(lambda: there.exists() and there.read_text().strip())
                pid = there.read_text().strip()
                here.touch()
                from ipcmules.member import membership; from ipcmules.bus import table
                cells = membership.current().table.cells
                wait(lambda: cells[table.H_RELOADED] == 1)
                assert pathlib.Path("/proc", pid).exists()
            assert not pathlib.Path("/proc", pid).exists()
        """,
    )
    assert scripts.output(program).splitlines() == ["mule a b c"] * 2
