"""Every public function of an attached process, as a call that can be made again and again.

For the programs that interrupt them (interrupted_program.py) and that refuse them descriptors
(refused_program.py). The bus is that of IPCMULES_BUS, started with ARGUMENTS and APP.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import Callable
from typing import Any

import ipcmules

APP = """
import ipcmules
from ipcmules.decorators import spool
ipcmules.register_signal(20, "mule1", lambda number: None)
ipcmules.register_rpc("echo", lambda data: data)
ipcmules.install_mule_msg_hook(lambda message: None)
ipcmules.set_spooler(lambda task: ipcmules.SPOOL_OK)
@spool(pass_arguments=True, name="double")
def double(number):
    return 2 * number
"""
ARGUMENTS = (
    *("--mules", "1", "--import", "app", "--farm", "farm:1", "--locks", "1", "--spooler", "tasks"),
    *("--socket", "wire", "--cache", "name=default,items=100,size=1M"),
)

got: list[int] = []


def handler(number: int) -> None:
    """Of a signal."""
    got.append(number)


def _with_lock() -> None:
    with ipcmules.Lock(1):
        pass


def _lock_and_unlock() -> None:
    with contextlib.suppress(ipcmules.LockError):  # where unlock() was interrupted at its very beginning
        ipcmules.unlock(0)
    if ipcmules.lock(0, 5):
        ipcmules.unlock(0)


def _attach() -> None:
    with ipcmules.attach(os.environ["IPCMULES_BUS"]):
        ipcmules.mule_msg(b"message", 1)


@functools.cache
def double() -> Any:
    """A function of tasks, decorated when it is first asked for: others import this module too."""
    from ipcmules.decorators import spool

    return spool(pass_arguments=True, name="double")(lambda number: 2 * number)


def _with_cause(call: Callable[[], object]) -> Callable[[], object]:
    """What a handler raises while arguments are pickled is taken for their fault."""

    def made() -> object:
        try:
            return call()
        except ipcmules.SpoolError as error:
            raise (error if isinstance(error, OSError) else error.__cause__ or error) from None

    return made


def _refused(call: Callable[[], object]) -> Callable[[], None]:
    """A call that makes sense in mules alone."""

    def made() -> None:
        with contextlib.suppress(ipcmules.NotAMule):
            call()

    return made


_loop: asyncio.AbstractEventLoop | None = None


def loop() -> asyncio.AbstractEventLoop:
    """An event loop for the calls that are awaited."""
    global _loop
    if _loop is None or _loop.is_running():
        _loop = asyncio.new_event_loop()
    return _loop


def _await_signal() -> object:
    return loop().run_until_complete(ipcmules.aio.signal_wait(timeout=0.001))


CALLS: dict[str, Callable[[], object]] = {
    "mule_msg": lambda: ipcmules.mule_msg(b"message", 1),
    "mule_msg, large": lambda: ipcmules.mule_msg(b"m" * 20_000, 1),
    "mule_msg, pool": lambda: ipcmules.mule_msg(b"message"),
    "farm_msg": lambda: ipcmules.farm_msg("farm", b"message"),
    "flush": lambda: ipcmules.flush(5),
    "received_context": ipcmules.received_context,
    "redelivered": ipcmules.redelivered,
    "mule_get_msg": _refused(lambda: ipcmules.mule_get_msg(timeout=0)),
    "farm_get_msg": _refused(lambda: ipcmules.farm_get_msg(timeout=0)),
    "install_mule_msg_hook": lambda: ipcmules.install_mule_msg_hook(got.append),
    "signal": lambda: ipcmules.signal(20),
    "signal_registered": lambda: ipcmules.signal_registered(20),
    "signal_received": ipcmules.signal_received,
    "lock": _lock_and_unlock,
    "Lock": _with_lock,
    "is_locked": lambda: ipcmules.is_locked(0),
    "rpc": lambda: ipcmules.rpc("mule1", "echo", b"x"),
    "rpc_list": ipcmules.rpc_list,
    "send_message": lambda: ipcmules.send_message(os.path.abspath("wire"), 110, 20),
    "spool": lambda: ipcmules.spool(a=b"b"),
    "send_to_spooler": lambda: ipcmules.send_to_spooler(a=b"b"),
    "set_spooler": lambda: ipcmules.set_spooler(bool),
    "set_spooler_frequency": lambda: ipcmules.set_spooler_frequency(30),
    "task": lambda: ipcmules.task(str(ipcmules.spool(a=b"b"))).status(),
    "a call of a @spool function": _with_cause(lambda: double()(2)),
    "spool_many": _with_cause(lambda: ipcmules.spool_many(double(), [1, 2])),
    "chain": _with_cause(lambda: ipcmules.chain(double().s(1), double().s()).spool()),
    "group": _with_cause(lambda: ipcmules.group(double().s(1), double().s(2)).spool()),
    "i_am_the_spooler": ipcmules.i_am_the_spooler,
    "spooler_dir": ipcmules.spooler_dir,
    "spooler_get_task": lambda: ipcmules.spooler_get_task("nothing"),
    "spooler_jobs": ipcmules.spooler_jobs,
    "spooler_pid": ipcmules.spooler_pid,
    "spooler_pids": ipcmules.spooler_pids,
    "spoolers": ipcmules.spoolers,
    "settings": ipcmules.settings,
    "masterpid": ipcmules.masterpid,
    "mule_id": ipcmules.mule_id,
    "in_farm": lambda: ipcmules.in_farm("farm"),
    "role": ipcmules.role,
    "worker_id": ipcmules.worker_id,
    "set_user_harakiri": _refused(lambda: ipcmules.set_user_harakiri(5)),
    "attach": _attach,
    "add_timer": lambda: (ipcmules.add_timer(20, 3600), ipcmules.remove_timer(20)),
    "add_ms_timer": lambda: (ipcmules.add_ms_timer(20, 3_600_000), ipcmules.remove_timer(20)),
    "add_rb_timer": lambda: (ipcmules.add_rb_timer(20, 3600), ipcmules.remove_timer(20)),
    "add_cron": lambda: (ipcmules.add_cron(20, 59, 3, 31, 12, -1), ipcmules.remove_cron(20)),
    "add_file_monitor": lambda: (
        ipcmules.add_file_monitor(20, "watched"),
        ipcmules.remove_file_monitor(20, "watched"),
    ),
    "list_events": ipcmules.list_events,
    "status": ipcmules.status,
    "counter": lambda: ipcmules.counter("calls").inc(),
    "cache": lambda: (ipcmules.cache().set("key", b"value"), ipcmules.cache().get("key")),
    # From here on this process is a worker.
    "aio.signal_wait": _await_signal,
    "register_signal": lambda: ipcmules.register_signal(30, "worker", handler),
    "signal_wait": lambda: ipcmules.signal_wait(timeout=0.001),
    "register_rpc": lambda: ipcmules.register_rpc("here", bytes),
}
#: Public names that are called by what is above, or elsewhere.
ELSEWHERE = {
    "unlock": "lock",
    "remove_timer": "add_timer",
    "remove_cron": "add_cron",
    "remove_file_monitor": "add_file_monitor",
    "Task": "task",
    "AsyncTask": "tests/bus/test_api_aio_sends.py",
    "Snapshot": "status",
    "Bus": "tests/bus/test_embed_interrupted.py",
    "current_task": "works in spoolers",
    "CurrentTask": "works in spoolers",
}
