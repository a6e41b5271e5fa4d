"""Signals that come faster than their handlers return: messages and tasks have their turn between them."""

from __future__ import annotations

import pytest

import ipcmules
from conftest import BusEnvironment
from spoolers import Spooling
from support import wait_until

FLOOD = """
import time
from ipcmules.decorators import timer
import ipcmules
from tasks_app import note

@timer(0.005, target="spooler")
def in_the_spooler(number):
    time.sleep(0.02)

@timer(0.005, target="mule1")
def in_the_mule(number):
    time.sleep(0.02)

ipcmules.install_mule_msg_hook(lambda message: note(task={"key": message.decode()}))
"""


@pytest.mark.slow
def test_messages_and_tasks_have_their_turn(bus_env: BusEnvironment, bus_name: str) -> None:
    spooling = Spooling(bus_env.directory, bus_name)
    (spooling.home / "flood.py").write_text(FLOOD)
    with spooling.start("--mules", "1", "--import", "flood"):
        wanted = {f"m{number}" for number in range(40)} | {f"t{number}" for number in range(5)}
        with ipcmules.attach(bus_name) as bus:
            for each in sorted(wanted):
                if each.startswith("m"):
                    bus.mule_msg(each.encode(), 1)
                else:
                    bus.spool({"key": each})
        wait_until(lambda: wanted <= set(spooling.ran()), what=f"all of {sorted(wanted)}")
