"""ipcmules.aio for who sends, locks and enqueues: whatever has to wait, the loop goes on."""

from __future__ import annotations

from pathlib import Path

import scripts

_PROGRAM = """
import asyncio
import time

import ipcmules
from ipcmules import aio
from ipcmules.decorators import lock, spool

@spool(pass_arguments=True, results=60)
def double(number):
    return 2 * number

@spool(pass_arguments=True, results=60)
def slow():
    while not ipcmules.is_locked(2):
        time.sleep(0.005)

def mule():
    ipcmules.register_rpc("slowly", slowly)
    ipcmules.lock(0)  # says that it does not receive yet
    while not ipcmules.is_locked(1):
        time.sleep(0.005)
    got = 0
    while got < 400:
        got += len(ipcmules.mule_get_msg()) > 0
    ipcmules.unlock(0)
    while True:
        ipcmules.mule_get_msg()

def slowly(text):
    while not ipcmules.is_locked(3):
        time.sleep(0.005)
    return text.upper()

class Ticks:
    count = 0

    async def run(self):
        while True:
            await asyncio.sleep(0.001)
            self.count += 1

    async def go_on(self):
        # Others of the loop are not held up, whatever waits.
        until = self.count + 20
        while self.count < until:
            await asyncio.sleep(0.001)

def say(*words):
    print(*words, flush=True)

async def main(bus):
    ticks = Ticks()
    ticking = asyncio.create_task(ticks.run())
    while not bus.is_locked(0):
        await asyncio.sleep(0.005)

    # As much waits behind the pool's queue as may.
    sends = [asyncio.create_task(aio.mule_msg(b"x" * 1000)) for _ in range(400)]
    await ticks.go_on()
    say("full", sum(each.done() for each in sends) < 400, await aio.mule_msg(b"x", timeout=0.01))
    cancelled = asyncio.create_task(aio.farm_msg("one", b"x"))
    await ticks.go_on()
    cancelled.cancel()
    async with aio.Lock(1):
        say("sent", all(await asyncio.gather(*sends)))
        while bus.is_locked(0):
            await asyncio.sleep(0.005)
    say("flushed", await aio.mule_msg("text", 1), await aio.flush(20))

    # A lock that another process has, and turns among those of the loop.
    order = []

    async def locks(name):
        async with aio.Lock(0):
            order.append(f"in {name}")
            await asyncio.sleep(0.002)
            order.append(f"out {name}")

    await asyncio.gather(*(locks(name) for name in "abc"))
    say(order == [f"{what} {name}" for name in "abc" for what in ("in", "out")])

    @lock(0)
    async def decorated():
        return await aio.Lock(0).acquire(timeout=0)

    async def other():
        return await aio.Lock(0, 0.01).acquire(0.01), await aio.Lock(0).acquire(0)

    async with aio.Lock(0) as held:
        say("taken", held.locked(), await asyncio.create_task(other()))
        try:
            await aio.Lock(0).acquire()
        except ipcmules.LockError as error:
            say("LockError", "this task of the event loop" in str(error))
        try:
            await asyncio.wait_for(asyncio.create_task(waits_for_ever()), 0.02)
        except asyncio.TimeoutError:
            say("given up")
    say("free", not held.locked(), await aio.Lock(0).acquire(0))
    aio.Lock(0).release()
    try:
        await decorated()
    except ipcmules.LockError:
        say("decorated, too")

    # Tasks and calls.
    task = await double.aspool(21)
    flat = await aio.spool({"key": "value"})
    say(await task, await task.result(5), flat.status() in ("waiting", "running"))
    waiting = await slow.aspool()
    try:
        await waiting.result(0.02)
    except ipcmules.TaskTimeout:
        say("TaskTimeout")
    call = asyncio.create_task(aio.rpc("mule1", "slowly", "text"))
    await ticks.go_on()
    say("waits", not call.done())
    async with aio.Lock(3):
        # In the mule, which is receiving: the call runs on a thread there.
        say(await call)
    async with aio.Lock(2):
        say(await waiting)
    ticking.cancel()

async def waits_for_ever():
    await aio.Lock(0).acquire()

if __name__ == "__main__":
    options = {"locks": 3, "spoolers": ["spooled"], "spooler_nice": 0, "queue_messages": 100}
    with ipcmules.Bus(mules=[mule], farms={"one": [1]}, **options) as bus:
        asyncio.run(main(bus))
"""


def test_what_waits_holds_no_other_of_the_loop_up(bus_env: object, tmp_path: Path) -> None:
    """C16."""
    program = scripts.write(tmp_path, "program.py", _PROGRAM)
    assert scripts.output(program).splitlines() == [
        "full True False",
        "sent True",
        "flushed True True",
        "True",
        "taken True (False, False)",
        "LockError True",
        "given up",
        "free True True",
        "decorated, too",
        "42 42 True",
        "TaskTimeout",
        "waits True",
        "b'TEXT'",
        "None",
    ]
