"""What the mules of the bus under fire run: programs and message hooks, all with signal handlers."""

from __future__ import annotations

import os
import random

import ipcmules
from chaos import forking, interruption, records, section
from ipcmules.decorators import signal

#: One message in so many is followed by a lock section, in the mule.
_SECTION = 40


def hook(data: bytes) -> None:
    """What signal-only mules have. One that raises makes its message a dead letter (--on-hook-error keep)."""
    interruption.burn("hook", 0.03)
    handle(data)


def handle(data: bytes) -> None:
    """Write a message down, and sometimes fork, or enter a section, while it is in hand."""
    if forking.is_child:
        records.write("forked", f"handled {os.getpid()}")
        return
    sender, route, number = records.key(data)
    records.write("handled", f"m {sender} {route} {number} {os.getpid()}")
    if forking.sometimes():
        return
    if number % _SECTION == 0:
        section.enter(random.randrange(records.LOCKS))


def program() -> None:
    """Receive for ever."""
    while True:
        try:
            data = interruption.call("receive", _receive)
        except interruption.Interrupted:
            continue
        if data is not None:
            handle(data)


def _receive() -> bytes | None:
    if random.random() < 0.02 and ipcmules.mule_id() == 1:
        return ipcmules.farm_get_msg(timeout=0)
    return ipcmules.mule_get_msg()


def _register(number: int, target: str) -> None:
    @signal(number, target=target)
    def handler(signum: int) -> None:
        records.write("forked" if forking.is_child else "handled", f"s {signum} {os.getpid()}")
        if not forking.sometimes():
            interruption.burn("handler")

    interruption.spare(handler)


for _number, (_target, _) in records.SIGNALS.items():
    _register(_number, _target)
ipcmules.install_mule_msg_hook(hook)
records.open_all()
