"""ipcmules.aio: messages and signals in an event loop, in a mule and in an attached process."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

import ipcmules
import scripts
from ipcmules import aio


def test_messages_signals_and_other_work_share_one_thread(bus_env: object, tmp_path: Path) -> None:
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        import asyncio
        import threading
        import time

        import ipcmules
        from ipcmules import aio

        def say(*words):
            print(*words, flush=True)

        async def slowly(number):
            await asyncio.sleep(0.01)
            say("coroutine handler", number)

        def mule():
            ipcmules.register_signal(1, "mule1", lambda number: say("handler", number))
            ipcmules.register_signal(2, "mule1", slowly)
            asyncio.run(serve())

        async def serve():
            ticks = 0

            async def tick():
                nonlocal ticks
                while True:
                    await asyncio.sleep(0.005)
                    ticks += 1

            ticking = asyncio.create_task(tick())  # cancelled by the end of the loop
            say("nothing yet", await aio.mule_get_msg(timeout=0.05), await aio.signal_wait(timeout=0.05))
            ipcmules.lock(0)  # says that it has looked
            async for message in aio.messages():
                say(message.decode(), "ticking", ticks > 0, "threads", threading.active_count())
                if message == b"wait for a signal":
                    ipcmules.unlock(0)  # says that it looks for nothing but a signal
                    say("waited for", await aio.signal_wait(3, timeout=20))

        if __name__ == "__main__":
            with ipcmules.Bus(mules=[mule]) as bus:
                while not bus.is_locked(0):
                    time.sleep(0.01)
                bus.signal(1)
                bus.signal(2)
                bus.mule_msg("first", 1)
                bus.register_signal(3, "mule1", print)
                bus.mule_msg("wait for a signal", 1)
                while bus.is_locked(0):
                    time.sleep(0.01)
                bus.signal(3)
                bus.mule_msg("last", 1)
        """,
    )
    lines = scripts.output(program).splitlines()
    assert lines[0] == "nothing yet None None"
    messages = [line for line in lines if "ticking" in line]
    assert messages == [f"{text} ticking True threads 1" for text in ("first", "wait for a signal", "last")]
    assert sorted(set(lines) - set(messages) - {lines[0]}) == [
        "coroutine handler 2",
        "handler 1",
        "waited for 3",
    ]


def test_a_stop_ends_the_loop_after_draining(bus_env: object, tmp_path: Path) -> None:
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        import asyncio

        import ipcmules
        from ipcmules import aio

        async def serve():
            try:
                async for message in aio.messages():
                    await asyncio.sleep(0.01)
                    print(message.decode(), flush=True)
            finally:
                print("cleaned up", flush=True)

        def mule():
            asyncio.run(serve())

        if __name__ == "__main__":
            with ipcmules.Bus(mules=[mule], mercy=20) as bus:
                for number in range(30):
                    bus.mule_msg(str(number), 1)
        """,
    )
    done = scripts.run(program)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [*map(str, range(30)), "cleaned up"]


def test_several_tasks_wait_at_once(bus_env: object, tmp_path: Path) -> None:
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        import asyncio

        import ipcmules
        from ipcmules import aio

        async def take(name):
            message = await aio.mule_get_msg()
            await asyncio.sleep(0.05)
            return message.decode()

        async def serve():
            print(*sorted(await asyncio.gather(*map(take, range(5)))), flush=True)

        def mule():
            asyncio.run(serve())
            ipcmules.mule_get_msg()

        if __name__ == "__main__":
            with ipcmules.Bus(mules=[mule]) as bus:
                for number in range(5):
                    bus.mule_msg(str(number))
        """,
    )
    assert scripts.output(program) == "0 1 2 3 4\n"


def test_an_attached_process_takes_signals_in_its_loop(bus_env: object, tmp_path: Path) -> None:
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        import asyncio

        import ipcmules
        from ipcmules import aio

        async def main():
            waiting = asyncio.create_task(aio.signal_wait(8, timeout=20))
            await asyncio.sleep(0)  # now it waits
            for number in (7, 8):
                ipcmules.signal(number)
            print("waited for", await waiting, "last", ipcmules.signal_received())
            print("then", await aio.signal_wait(timeout=0.05))

        if __name__ == "__main__":
            for number in (7, 8):
                ipcmules.register_signal(number, "workers", lambda number: print("handler", number))
            with ipcmules.Bus():
                asyncio.run(main())
        """,
    )
    assert scripts.output(program).splitlines() == [
        "handler 7",
        "handler 8",
        "waited for 8 last 8",
        "then None",
    ]


def test_handlers_run_in_the_loop_that_serves_signals(bus_env: object, tmp_path: Path) -> None:
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        import asyncio
        import threading

        import ipcmules
        from ipcmules import aio

        handled = []

        async def coroutine(number):
            await asyncio.sleep(0.01)
            asyncio.get_running_loop().call_soon(handled.append, (number, threading.current_thread().name))

        def plain(number):
            handled.append((number, threading.current_thread().name))

        async def until(count):
            while len(handled) < count:
                await asyncio.sleep(0.005)

        async def main():
            async with asyncio.timeout(20) if hasattr(asyncio, "timeout") else asyncio.Lock():
                serving = asyncio.create_task(aio.serve_signals())
                await asyncio.sleep(0)
                for number in (7, 8, 7):
                    ipcmules.signal(number)
                await until(3)
                serving.cancel()
                await asyncio.wait([serving])
                ipcmules.signal(8)  # goes on as without it
                await until(4)
            print(sorted(handled[:3]), handled[3][0], handled[3][1] != "MainThread")

        if __name__ == "__main__":
            ipcmules.register_signal(7, "workers", coroutine)
            ipcmules.register_signal(8, "workers", plain)
            with ipcmules.Bus():
                asyncio.run(main())
        """,
    )
    assert scripts.output(program).splitlines() == [
        "[(7, 'MainThread'), (7, 'MainThread'), (8, 'MainThread')] 8 True"
    ]


def test_signal_wait_ends_with_its_bus(bus_env: object) -> None:
    async def main() -> None:
        waiting = asyncio.create_task(aio.signal_wait(timeout=60))
        await asyncio.sleep(0)
        stopping = asyncio.create_task(asyncio.to_thread(os.kill, bus.pid, signal.SIGTERM))
        with pytest.raises(ipcmules.BusStopped, match="ended while this process waited for a signal"):
            await waiting
        await stopping

    with ipcmules.Bus() as bus:
        asyncio.run(main())


def test_an_unregistered_number_goes_to_whoever_waits(
    bus_env: object, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> int | None:
        waiting = asyncio.create_task(aio.signal_wait(timeout=20))
        await asyncio.sleep(0)
        ipcmules.signal(99)
        return await waiting

    with ipcmules.Bus():
        assert asyncio.run(main()) == 99
    # What other tests left registered in this process may be reason for another word.
    assert not [each for each in caplog.records if "signal 99" in each.getMessage()]


def test_receiving_outside_a_mule(bus_env: object) -> None:
    with pytest.raises(ipcmules.NotAMule, match="receives messages in a mule; this process is none"):
        asyncio.run(aio.mule_get_msg(timeout=0))
    with pytest.raises(ipcmules.NotAttached):
        asyncio.run(aio.signal_wait(timeout=0))
