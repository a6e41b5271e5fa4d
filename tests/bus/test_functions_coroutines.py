"""Nothing counts as done that has not run: coroutines are run or refused, generators are errors."""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import ipcmules
import ipcmules.testing
from conftest import BusEnvironment
from ipcmules import decorators
from ipcmules.functions import coroutines
from spoolers import Spooling
from support import wait_until

APP = """
import asyncio, functools
import ipcmules
from ipcmules.decorators import *
from tasks_app import note

def plainly(function):
    @functools.wraps(function)
    def call(*args):
        return function(*args)
    return call

async def slowly(key):
    await asyncio.sleep(0.01)
    note(task={"key": key})

@spool(pass_arguments=True)
async def task(key):
    await slowly(key)

@spool(pass_arguments=True, retries=0)
@plainly
async def wrapped(key):
    await slowly(key)

class Caller:
    async def __call__(self, key):
        await slowly(key)

@spoolraw(pass_arguments=True)
async def raw(key):
    await slowly(key)
    return ipcmules.SPOOL_OK

@spool(pass_arguments=True, retries=0)
async def fails(key):
    await slowly(key)
    raise ValueError("after all")

def generator(key):
    yield key

@spool(pass_arguments=True, retries=0)
def hidden(key):
    return generator(key)

@spool(pass_arguments=True, retries=0)
def hidden_too(key):
    async def steps():
        yield key
    return steps()

caller = spool(Caller(), pass_arguments=True, name="caller")

@signal(17, target="mule1")
async def on_signal(signum):
    await slowly(f"signal {signum}")

@mulefunc(1)
async def carried(key):
    await slowly(key)

@postfork
async def forked():
    await slowly("postfork")

@timer(0.05, target="spooler")
async def ticked(signum):
    await slowly("tick")

@mule(1)
async def body():
    await slowly("body")

async def hook(message):
    await slowly(message.decode())

ipcmules.install_mule_msg_hook(hook)

async def answer():
    await asyncio.sleep(0.01)
    return b"answer"

ipcmules.register_rpc("answer", answer)
"""


def test_everywhere_a_coroutine_runs(bus_env: BusEnvironment, bus_name: str) -> None:
    spooling = Spooling(bus_env.directory, bus_name)
    (spooling.home / "loops.py").write_text(APP)
    code = (
        "import loops\n"
        "for f in (loops.task, loops.wrapped, loops.raw, loops.caller, loops.fails, loops.hidden,\n"
        "          loops.hidden_too):\n"
        "    f(getattr(f, '__name__', 'caller'))\n"
        "loops.carried('carried'); loops.ipcmules.signal(17); loops.ipcmules.mule_msg(b'hooked')\n"
        "assert loops.ipcmules.rpc('mule1', 'answer') == b'answer'\n"
        "import time; time.sleep(600)"
    )
    command = ("--mules", "1", "--import", "loops", "--", sys.executable, "-c", code)
    with spooling.start(*command) as launcher:
        wanted = {
            "task",
            "wrapped",
            "raw",
            "caller",
            "carried",
            "signal 17",
            "hooked",
            "postfork",
            "tick",
            "body",
        }
        try:
            wait_until(lambda: wanted <= set(spooling.ran()))
        except AssertionError as error:
            raise AssertionError(f"{wanted - set(spooling.ran())}: {launcher.output()}") from error
        dead = wait_until(
            lambda: found if len(found := spooling.dead()) == 3 else None, what="three dead tasks"
        )
    reasons = sorted(each.reason for each in dead.values())
    assert "fails() raised ValueError('after all')" in reasons[0]
    assert all("returned a generator: nothing of it has run" in each for each in reasons[1:])
    assert "never awaited" not in launcher.stderr


def generator(*args: Any) -> Any:
    yield 1


async def steps(*args: Any) -> Any:
    yield 1


class Called:
    def __call__(self, *args: Any) -> Any:
        yield 1


REFUSERS: list[Callable[..., Any]] = [
    functools.partial(decorators.spool, name="x"),
    decorators.signal(200),
    decorators.timer(1),
    decorators.cron("* * * * *"),
    decorators.filemon("/tmp"),
    decorators.mulefunc,
    decorators.thread,
    decorators.postfork,
    decorators.mule(1),
    decorators.muleloop(1),
    decorators.mulemsg(1),
    decorators.farm("f"),
    decorators.harakiri(1),
    decorators.lock,
    ipcmules.set_spooler,
]


@pytest.mark.parametrize("function", [generator, steps, Called(), functools.partial(generator, 1)])
def test_generator_functions_are_refused_when_decorated(function: Any) -> None:
    for decorate in REFUSERS:
        with pytest.raises(TypeError, match="is a generator function"):
            decorate(function)


def test_a_lock_is_held_while_a_coroutine_is_awaited() -> None:
    most, now = 0, 0

    @decorators.lock
    async def alone() -> int:
        nonlocal most, now
        now += 1
        most = max(most, now)
        assert ipcmules.is_locked(0)
        await asyncio.sleep(0.002)
        now -= 1
        return most

    async def all_of_them() -> list[int]:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0.001)

        ipcmules.lock(0)  # by this thread: the others wait, and the loop goes on
        ipcmules.unlock(0)
        holder = threading.Thread(target=_hold)
        holder.start()
        wait_until(lambda: ipcmules.is_locked(0), what="the lock to be taken")
        beating = asyncio.ensure_future(beat())
        results = await asyncio.gather(*(alone() for _ in range(5)))
        beating.cancel()
        holder.join()
        assert beats > 1
        return results

    with ipcmules.testing.inline():
        assert asyncio.run(all_of_them()) == [1] * 5
        assert not ipcmules.is_locked(0)


def _hold() -> None:
    with ipcmules.Lock(0):
        time.sleep(0.02)


@pytest.mark.parametrize("decorate", [decorators.lock, decorators.harakiri(5)])
def test_a_coroutine_that_would_run_outside_is_refused_at_the_call(decorate: Any) -> None:
    async def inner() -> None:
        pass

    @decorate
    def outer() -> Any:
        return inner()

    with ipcmules.testing.inline(), pytest.raises(TypeError, match=r"put @\w+ on the coroutine function"):
        outer()


def test_thread_runs_a_coroutine() -> None:
    seen = []

    @decorators.thread
    async def beside(key: str, *, function: str) -> None:
        await asyncio.sleep(0)
        seen.append((key, function, threading.current_thread().name))

    beside("a", function="b").join(5)
    assert seen == [("a", "b", beside.__qualname__)]


def test_inline_runs_coroutines_also_within_a_loop() -> None:
    seen = []

    @decorators.spool(pass_arguments=True)
    async def task(key: str) -> None:
        await asyncio.sleep(0)
        seen.append(key)

    async def within() -> None:
        task("within")

    with ipcmules.testing.inline() as ran:
        task("plain")
        asyncio.run(within())
    assert seen == ["plain", "within"]
    assert [each.result for each in ran.tasks] == [ipcmules.SPOOL_OK] * 2


def test_what_is_awaited() -> None:
    class Awaitable:
        def __await__(self) -> Any:
            yield from asyncio.sleep(0).__await__()
            return 7

    assert coroutines.finish(Awaitable(), "f") == 7
    assert coroutines.finish("text", "f") == "text"
    with pytest.raises(TypeError, match="generator"):
        coroutines.finish((each for each in ()), "f")
