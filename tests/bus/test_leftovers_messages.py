"""Saving what is queued when a bus ends: who does it may be killed at any message, another begins anew."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import scripts
from conftest import BusEnvironment
from ipcmules.master.leftovers import saved_messages
from ipcmules.messages import frames, kept, queues
from messagebus import MessageBus, message_bus, no_signal
from support import Launcher, run_cli, wait_until

LARGE = b"l" * 50_000

STUCK = """
import os, time
import ipcmules
from ipcmules.decorators import signal

@signal(5, target="mule1")
def handler(number):
    print("handled", number, flush=True)

def main():
    while not os.path.exists("go"):
        time.sleep(0.01)
    while True:
        print("got", ipcmules.mule_get_msg().decode(), flush=True)
"""


def test_what_cannot_be_saved_stays_in_the_kernel(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    scripts.write(tmp_path, "stuck.py", STUCK)
    options = ("--bus", bus_name, "--import", "stuck", "--mule=stuck:main")
    with Launcher(*options, "--mule-reload-mercy", "0", cwd=tmp_path) as launcher:
        for text in ("one", "two"):
            assert run_cli("msg", "--bus", bus_name, "--mule", "1", text).returncode == 0
        assert run_cli("signal", "--bus", bus_name, "5").returncode == 0
        resource.prlimit(
            launcher.pid, resource.RLIMIT_FSIZE, (0, 0)
        )  # as a full disk: no file can be written
        launcher.stop()
    (tmp_path / "go").touch()
    with Launcher(*options, cwd=tmp_path) as launcher:
        wait_until(lambda: launcher.stdout.count("\n") == 3, what="all that was left")
        assert sorted(launcher.stdout.splitlines()) == ["got one", "got two", "handled 5"]


def killed_at(bus: MessageBus, step: int) -> None:
    """Save, and be killed before (even steps) or after (odd steps) a message has its file, or the like."""
    steps = iter(range(step + 1))
    rename = os.rename

    def count() -> None:
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def renamed(source: str, target: str) -> None:
        count()
        rename(source, target)
        count()

    os.rename = renamed  # type: ignore[assignment] # this child ends with it
    saved_messages.save(bus.where, bus.description)
    os._exit(0)


def test_a_save_that_is_killed_anywhere_and_done_again_saves_all(bus_env: object, bus_name: str) -> None:
    step = 0
    while _is_killed_and_saves_all(bus_name, step):
        step += 1
    assert step >= 10  # two a message, and those of the large one's segment


def _is_killed_and_saves_all(bus_name: str, step: int) -> bool:
    """False if who saves came to the end before this step."""
    with message_bus(bus_name, mules=1, farms=()) as bus:
        inbox, post, own = bus.inbox(1), bus.post(), queues.open_queue(bus.specs[1])
        own.send(frames.pack([b"0", b"1", b"2"]))
        own.send(frames.pack([b"3", b"4"]))
        own.close()
        post.outbox("mule1").send(LARGE)
        assert inbox.get(1, True, True, no_signal) == b"0"
        inbox.done()
        killed = bus.wait(bus.fork(killed_at, bus, step)) == -signal.SIGKILL
        saved_messages.save(bus.where, bus.description)
        saved = bus.kept()
        assert set(saved) == {b"1", b"2", b"3", b"4", LARGE}, step
        # The message that had its file when who saved was killed may have another.
        assert len(saved) - len(set(saved)) <= step % 2, step
        assert not [name for name in os.listdir(bus.where.kept) if name.startswith(".")]
        for path in kept.listing(bus.where):
            os.unlink(path)
        return killed
