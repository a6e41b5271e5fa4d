"""Saving what is queued when a bus ends: who does it may be killed at any message, another begins anew."""

from __future__ import annotations

import os
import signal

from ipcmules.master import leftovers
from ipcmules.messages import frames, kept, queues
from test_messages_support import MessageBus, message_bus, no_signal

LARGE = b"l" * 50_000


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
    leftovers.save(bus.where, bus.description)
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
        leftovers.save(bus.where, bus.description)
        saved = bus.kept()
        assert set(saved) == {b"1", b"2", b"3", b"4", LARGE}, step
        # The message that had its file when who saved was killed may have another.
        assert len(saved) - len(set(saved)) <= step % 2, step
        assert not [name for name in os.listdir(bus.where.kept) if name.startswith(".")]
        for path in kept.listing(bus.where):
            os.unlink(path)
        return killed
