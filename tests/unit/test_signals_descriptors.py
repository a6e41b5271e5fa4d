"""A raiser's descriptors: whatever a signal handler raises meanwhile, none stays open that nobody knows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import interruptions
from ipcmules.bus.config import BusConfig, Program
from ipcmules.bus.places import Places
from ipcmules.bus.table import Layout
from ipcmules.signals import fifos
from ipcmules.signals.descriptors import Descriptors


@pytest.mark.skipif(not interruptions.EXACT, reason="the places are known for 3.11 and later")
def test_a_handler_that_raises_anywhere_leaves_no_descriptor_open(tmp_path: Path) -> None:
    where = Places("t", str(tmp_path), str(tmp_path / "state"), "/ipcmules.0.none.t.")
    config = BusConfig(mules=(Program(),))
    endpoint = Layout.of(config).mule_endpoint(1)
    path = where.fifo("mule1")
    os.mkfifo(path, 0o600)
    descriptors = Descriptors(where, config)

    def find() -> object:
        return descriptors.find(endpoint)

    assert fifos.name_of(endpoint, config) == "mule1" and find() is not None
    places = []
    for place, _result in interruptions.every(find, interruptions.interrupt, descriptors.close):
        descriptors.close()
        assert _opened(path) == 0, place
        places.append(place)
    assert len(places) > 10 and find() is not None
    descriptors.close()
    assert descriptors.find(Layout.of(config).mule_pool) is None  # it has no FIFO here


def _opened(path: str) -> int:
    """How many descriptors of it this process has open."""
    found = 0
    for each in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{each}") == path
        except FileNotFoundError:
            pass  # the list's own
    return found
