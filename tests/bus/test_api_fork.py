"""fork() in a process that is in the middle of sending: each message is sent once, by whoever sent it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import scripts


def test_a_fork_in_the_middle_of_sending(bus_env: object, tmp_path: Path) -> None:
    """Parent and children each send on; what the parent had buffered at the fork is the parent's alone."""
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        import os
        import threading

        import ipcmules

        COUNT, CHILDREN = 3000, 5


        def write_down():
            with open(f"mule{ipcmules.mule_id()}", "a") as file:
                while True:
                    file.write(ipcmules.mule_get_msg().decode() + "\\n")


        def send(name, begin=0, end=COUNT):
            for number in range(begin, end):
                for target in (1, 0, "farm"):
                    assert ipcmules.mule_msg(f"{name} {target} {number}", target)


        def fork(name):
            pid = os.fork()
            if pid == 0:
                send(name, 0, 500)
                assert ipcmules.flush(60)
                os._exit(0)
            return pid


        if __name__ == "__main__":
            with ipcmules.Bus(mules=[write_down] * 2, farms={"farm": [1, 2]}, mercy=60):
                thread = threading.Thread(target=send, args=("thread",))
                thread.start()
                pids = []
                for child in range(CHILDREN):
                    part = COUNT // CHILDREN
                    send("main", child * part, (child + 1) * part)
                    pids.append(fork(f"child{child}"))
                assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * CHILDREN
                thread.join()
        """,
    )
    scripts.output(program, seconds=120)
    lines = [line for mule in (1, 2) for line in (tmp_path / f"mule{mule}").read_text().splitlines()]
    expected = {
        f"{name} {target} {number}"
        for name in ("main", "thread")
        for target in (1, 0, "farm")
        for number in range(3000)
    }
    expected |= {
        f"child{child} {target} {number}"
        for child in range(5)
        for target in (1, 0, "farm")
        for number in range(500)
    }
    doubled = {line: count for line, count in Counter(lines).items() if count > 1}
    assert not doubled, f"{len(doubled)} doubled, such as {list(doubled.items())[:3]}"
    assert set(lines) == expected
    for name in ("main", "thread", *(f"child{child}" for child in range(5))):
        own = [
            line for line in (tmp_path / "mule1").read_text().splitlines() if line.startswith(f"{name} 1 ")
        ]
        assert own == sorted(own, key=lambda line: int(line.split()[2])), f"{name}'s order at mule 1"


def test_fork_while_the_queue_is_full(bus_env: object, tmp_path: Path) -> None:
    """As much waits as may when it forks: the child waits for room too, and sends its own message alone."""
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        import os

        import ipcmules


        def write_down():
            ipcmules.mule_get_msg()
            ipcmules.lock(1)
            with open("journal", "a") as file:
                while True:
                    file.write(ipcmules.mule_get_msg().decode().strip() + "\\n")


        if __name__ == "__main__":
            with ipcmules.Bus(mules=[write_down], locks=1, mercy=20) as bus:
                bus.lock(1)
                bus.mule_msg("begin", 1)
                sent = 0
                while bus.mule_msg(f"parent {sent}".ljust(1000), 1, timeout=0.2):
                    sent += 1
                print(sent)
                pid = os.fork()
                if pid == 0:
                    assert bus.mule_msg("child", 1)
                    os._exit(0)
                bus.unlock(1)
                assert os.waitpid(pid, 0)[1] == 0
        """,
    )
    sent = int(scripts.output(program))
    lines = (tmp_path / "journal").read_text().splitlines()
    assert lines.count("child") == 1
    lines.remove("child")
    assert lines == [f"parent {number}" for number in range(sent)]
