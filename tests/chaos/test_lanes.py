"""A short run of chaos.lanes: senders and receivers killed in the middle of bursts."""

from __future__ import annotations

import pytest

from chaos import lanes

pytestmark = pytest.mark.slow


def test_killed_senders_and_receivers(bus_env: object, bus_name: str) -> None:
    found = lanes.run(bus_name, kills=15, seed=7)
    assert found.check() == [], found.summary()
    assert all(count for count in found.killed.values())


def test_a_trickle_of_messages_wakes_somebody_each_time(bus_env: object, bus_name: str) -> None:
    found = lanes.run(bus_name, kills=6, seed=8, trickle=True)
    assert found.check() == [], found.summary()
