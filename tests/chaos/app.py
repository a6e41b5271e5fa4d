"""What the mules of the bus under fire run: programs and message hooks, all with signal handlers."""

from __future__ import annotations

import os
import random

import ipcmules
from chaos import records, section
from ipcmules.decorators import signal

#: One message in so many is followed by a lock section, in the mule.
_SECTION = 40


def receive(data: bytes) -> None:
    """Write a message down, and sometimes enter a section while it is in hand."""
    sender, route, number = records.key(data)
    records.write("handled", f"m {sender} {route} {number} {os.getpid()}")
    if number % _SECTION == 0:
        section.enter(random.randrange(records.LOCKS))


def program() -> None:
    """Receive for ever."""
    while True:
        data = ipcmules.mule_get_msg()
        assert data is not None
        receive(data)


def _register(number: int, target: str) -> None:
    @signal(number, target=target)
    def handler(signum: int) -> None:
        records.write("handled", f"s {signum} {os.getpid()}")


for _number, (_target, _) in records.SIGNALS.items():
    _register(_number, _target)
ipcmules.install_mule_msg_hook(receive)
