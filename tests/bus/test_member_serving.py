"""A process that cannot serve signals keeps no worker number: nobody would handle what is raised there."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

import ipcmules
from ipcmules import aio
from ipcmules.api import presence
from ipcmules.kernel import unpatched_polls
from ipcmules.member import membership
from ipcmules.member.serving import Server, Waiter
from ipcmules.signals import running
from minibus import begun
from scripts import write
from support import Launcher


def _handler(number: int) -> None:
    pass


def _no_descriptors() -> NoReturn:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_no_worker_number_without_a_server(
    bus_env: object, bus_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "app.py", "")
    with Launcher("--bus", bus_name, "--mules", "1", "--import", "app", cwd=tmp_path):
        epoll = unpatched_polls.epoll
        with ipcmules.attach(bus_name):
            monkeypatch.setattr(unpatched_polls, "epoll", _no_descriptors)
            with pytest.raises(OSError, match="Too many open files"):
                ipcmules.register_signal(40, "worker", _handler)
            assert ipcmules.worker_id() == 0
            monkeypatch.setattr(unpatched_polls, "epoll", epoll)
            ipcmules.register_signal(40, "worker", _handler)  # again, and now it serves
            assert ipcmules.worker_id() == 1


def test_what_was_taken_and_not_begun_is_there_again_when_it_ends(bus_env: object) -> None:
    """The program's signal handler raised in between. Another worker has it next, and no other bus."""
    with ipcmules.Bus():
        member = membership.current()
        waiter = Waiter(member)
        counter = member.table.layout.counter_offset(member.table.layout.worker_pool, 40)
        member.raiser.raise_at(40, ("worker0",))
        assert waiter.take(10) == running.waiting() == 40
        assert member.table.memory[counter] == 0
        waiter.close()
        assert running.waiting() is None
        assert member.table.memory[counter] == 1
        assert not any(running.held)


def test_a_guest_stays_the_only_one_that_takes(bus_env: object) -> None:
    """However quickly one follows the other: what the thread would take, the guest would wait for."""
    with ipcmules.Bus():
        member = membership.current()
        server = Server(member, _handler, lambda server: None)
        for _ in range(2000):
            with server.guest() as waiter:
                member.raiser.raise_at(41, ("worker0",))
                assert waiter.take(10) == 41
                begun(41)
        server.stop()


@pytest.mark.parametrize("before", [0.0, 0.3])
def test_leaving_in_another_thread_ends_a_wait_in_a_loop(bus_env: object, before: float) -> None:
    async def main() -> None:
        waiting = asyncio.create_task(aio.signal_wait())
        await asyncio.sleep(before)
        await asyncio.to_thread(membership.leave)
        await asyncio.to_thread(presence.stop)
        with pytest.raises(ipcmules.BusStopped):
            await asyncio.wait_for(waiting, 20)

    with ipcmules.Bus():
        asyncio.run(main())
