"""Where what waits has filled shared memory before a mule received anything: it receives all the same."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import narrow

#: What a bus waits for there is given back by nobody but its mules.
_PROGRAM = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parents[1])!r}]
from messagebus import message_bus, no_signal

with message_bus("full", mules=2) as bus:
    early = bus.inbox(1)
    sent = {{target: [] for target in ("mule1", "mule2", "pool", "farm.mail")}}
    send = {{target: bus.post().outbox(target).send for target in sent}}
    for number in range(60):
        for target, numbers in sent.items():
            data = b"%s %d " % (target.encode(), number) + bytes(2000)
            if send[target](data, 0):
                numbers.append(data)
    fill()
    got = []
    for inbox in (early, bus.inbox(2)):
        while (data := inbox.get(0, True, True, no_signal)) is not None:
            got.append(data)
    for target, numbers in sent.items():
        assert [each for each in got if each.startswith(target.encode())] == numbers, target
    assert bus.kept() == []
    free()
"""


def test_a_first_receive_where_shared_memory_is_full(bus_env: object, tmp_path: Path) -> None:
    source = narrow.fill() + textwrap.dedent(_PROGRAM)
    done = narrow.run(narrow.mounted("/dev/shm", "size=8m", sys.executable, "-c", source), cwd=tmp_path)
    assert done.returncode == 0, done.stderr


#: Receives only when it is told to, as an application that is long busy with its own start.
_MULE = """
import os, time, ipcmules
while not os.path.exists("go"):
    time.sleep(0.01)
while True:
    with open("got", "ab") as file:
        data = ipcmules.mule_get_msg()
        file.write(data[:8] + b"\\n")
"""
_BUS = """
import os, subprocess, sys, time
import ipcmules

launcher = subprocess.Popen([sys.executable, "-m", "ipcmules", "run", "--bus", NAME, *"--mule=mule.py "
    "--mule=mule.py --farm f:1,2 --queue-bytes 1000000000".split()])
until = time.monotonic() + 60
while True:
    try:
        with ipcmules.attach(NAME):
            count = 0
            for number in range(4000):
                for target in (1, 2, 0, "f"):
                    count += ipcmules.mule_msg(b"%-8d" % count + bytes(1000), target, 0)
            break
    except ipcmules.NotAttached:
        assert time.monotonic() < until
        time.sleep(0.05)
fill()
open("go", "w").close()
while not os.path.exists("got") or len(open("got").readlines()) < count:
    assert time.monotonic() < until and launcher.poll() is None
    time.sleep(0.05)
free()
launcher.terminate()
assert launcher.wait(30) == 0
got = sorted(map(int, open("got")))
assert got == list(range(count)), (count, got)
"""


def test_senders_fill_what_docker_gives_before_mules_receive(
    bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    (tmp_path / "mule.py").write_text(_MULE)
    source = narrow.fill() + f"NAME = {bus_name!r}" + _BUS
    command = narrow.mounted("/dev/shm", "size=20m", *narrow.python(source))
    done = narrow.run(command, cwd=tmp_path, seconds=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
