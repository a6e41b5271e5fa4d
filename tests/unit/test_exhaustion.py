"""Without a descriptor left: what opens says so, with the remedy, and works when there is one."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ipcmules.areas import area
from ipcmules.bus.config import BusConfig
from ipcmules.bus.places import Places, places
from ipcmules.counters import counter
from ipcmules.errors import LimitError
from ipcmules.options.areas import AreaSpec
from ipcmules.rings import ring
from ipcmules.rings.ring import Ring


@pytest.fixture
def where(bus_name: str) -> Iterator[Places]:
    found = places(bus_name)
    area.make(found, [AreaSpec(8)])
    yield found
    area.remove(found)
    counter.remove(found)


def _ring(where: Places, directory: Path) -> Ring:
    config = BusConfig(queue=4, queue_blocksize=32, queue_store=str(directory / "ring"))
    if not (directory / "ring").exists():
        ring.make(where, config)
    return Ring(config.queue_store, 4, 32)


@pytest.mark.parametrize(
    "opens",
    [
        pytest.param(lambda where, _directory: counter.opened(where, None), id="counters"),
        pytest.param(lambda where, _directory: area.opened(where, [AreaSpec(8)]), id="areas"),
        pytest.param(_ring, id="ring"),
    ],
)
def test_what_cannot_be_opened_says_so(
    where: Places, tmp_path: Path, opens: Callable[[Places, Path], object]
) -> None:
    _ring(where, tmp_path).close()
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, usual[1]))
    try:
        with pytest.raises(LimitError, match="ulimit -n"):
            opens(where, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)
    assert len(os.listdir("/proc/self/fd")) == before
    assert opens(where, tmp_path)
