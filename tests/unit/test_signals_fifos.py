"""Names of endpoints: the arithmetic agrees with the list, whatever the bus has."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipcmules.bus.config import BusConfig, Farm, Program, SpoolDir
from ipcmules.bus.layout import Layout
from ipcmules.signals import fifos


@given(mules=st.integers(0, 9), farms=st.integers(0, 4), spools=st.integers(0, 3), workers=st.integers(0, 3))
def test_every_endpoint_has_the_name_of_the_list(mules: int, farms: int, spools: int, workers: int) -> None:
    config = BusConfig(
        mules=(Program(),) * mules,
        farms=tuple(Farm(f"f{number}", (1,)) for number in range(farms if mules else 0)),
        spoolers=tuple(SpoolDir(f"/spool/{number}") for number in range(spools)),
        processes=workers,
    )
    for name, endpoint in fifos.endpoint_names(config):
        assert fifos.name_of(endpoint, config) == name
    assert fifos.name_of(Layout.of(config).held, config) == "held"
    assert fifos.name_of(Layout.of(config).worker_endpoint(77), config) == "worker77"
