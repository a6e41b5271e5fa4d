"""Children of an embedding program are on its bus, whatever package and start method made them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

import scripts

pytestmark = pytest.mark.slow

PROGRAM = """
    import functools
    import importlib
    import json
    import os
    import threading

    import ipcmules

    CHILDREN = 3
    # Not from the command line: a forkserver that imports this module has none.
    package, method = importlib.import_module(os.environ["PACKAGE"]), os.environ["METHOD"]
    handled = []
    sending = True


    def collect(journal):
        with open(journal, "w") as file:
            while True:
                file.write(ipcmules.mule_get_msg().decode() + "\\n")


    def nothing():
        pass


    def child(number, tally, depth=1):
        with ipcmules.Lock(1):
            with open(tally) as file:
                count = int(file.read())
            with open(tally, "w") as file:
                file.write(str(count + 1))
        assert ipcmules.mule_msg(f"child {number} {depth}")
        ipcmules.signal(7)
        assert ipcmules.mule_id() == 0
        assert ipcmules.masterpid() > 0
        if depth:
            run(package.get_context(method), [(number, tally, 0)])


    def run(context, calls):
        children = [context.Process(target=child, args=call) for call in calls]
        for each in children:
            each.start()
        for each in children:
            each.join()
        assert [each.exitcode for each in children] == [0] * len(children)


    def send_on(name):
        number = 0
        while sending:
            ipcmules.mule_msg(f"thread {name} {number}", 1)
            number += 1
            if number % 10 == 0:
                threading.Event().wait(0.001)
        sent[name] = number


    if __name__ == "__main__":
        context = package.get_context(method)
        if method == "forkserver":
            early = context.Process(target=nothing)
            early.start()
            early.join()
        with open("tally", "w") as file:
            file.write("0")
        sent = {}
        with ipcmules.Bus(mules=[functools.partial(collect, "journal"), None], locks=1, mercy=20) as bus:
            bus.register_signal(7, "worker1", handled.append)
            assert bus.worker_id() == 1
            threads = [threading.Thread(target=send_on, args=(name,)) for name in ("a", "b")]
            for each in threads:
                each.start()
            run(context, [(number, "tally") for number in range(CHILDREN)])
            sending = False
            for each in threads:
                each.join()
            limit = 1000
            while len(handled) < 2 * CHILDREN and limit:
                threading.Event().wait(0.02)
                limit -= 1
        with open("journal") as journal, open("tally") as tally:
            print(json.dumps([journal.read().split("\\n"), int(tally.read()), handled, sent]))
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("package", ["multiprocessing", "multiprocess"])
def test_children_are_on_the_bus(
    bus_env: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, method: str
) -> None:
    program = scripts.write(tmp_path, "program.py", PROGRAM)
    monkeypatch.setenv("PACKAGE", package)
    monkeypatch.setenv("METHOD", method)
    lines, tally, handled, sent = json.loads(scripts.output(program).splitlines()[-1])

    assert lines.pop() == ""
    children = Counter(line for line in lines if line.startswith("child"))
    assert children == {f"child {number} {depth}": 1 for number in range(3) for depth in (0, 1)}
    assert tally == 6
    assert handled == [7] * 6
    for name, count in sent.items():
        numbers = [int(line.split()[2]) for line in lines if line.startswith(f"thread {name} ")]
        assert numbers == list(range(count)), f"thread {name} sent {count}"
    assert len(lines) == 6 + sum(sent.values())


def test_lambda_and_closure_as_target_of_a_child(bus_env: object, tmp_path: Path) -> None:
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        import multiprocess
        import ipcmules

        def main():
            word = "closed over"
            echo = lambda: [print(text.decode(), flush=True) for text in iter(ipcmules.mule_get_msg, None)]
            with ipcmules.Bus(mules=[echo]):
                for method in ("spawn", "forkserver"):
                    child = multiprocess.get_context(method).Process(
                        target=lambda: ipcmules.mule_msg(f"{word}, {method}")
                    )
                    child.start()
                    child.join()
                    assert child.exitcode == 0

        if __name__ == "__main__":
            main()
        """,
    )
    assert scripts.output(program).splitlines() == ["closed over, spawn", "closed over, forkserver"]


def test_subprocess_of_the_program_is_on_the_bus(bus_env: object, tmp_path: Path) -> None:
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        import subprocess
        import sys
        import ipcmules

        def echo():
            while True:
                print(ipcmules.mule_get_msg().decode(), flush=True)

        if __name__ == "__main__":
            with ipcmules.Bus(mules=[echo]):
                command = "import ipcmules; ipcmules.mule_msg('hello')"
                subprocess.run([sys.executable, "-c", command], check=True)
        """,
    )
    assert scripts.output(program) == "hello\n"
