"""The chaos program of chains, keys and places, for a short time: its ledger balances."""

from __future__ import annotations

import pytest

from chaos import steering
from conftest import BusEnvironment

pytestmark = pytest.mark.slow


def test_chains_keys_and_places_hold_whoever_is_killed(
    bus_env: BusEnvironment, bus_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steering, "BUS", bus_name)
    top = bus_env.directory / "chaos"
    top.mkdir()
    wrong = steering.Chaos(top, seed=1).run(3.0)
    log = (top / "log").read_text(errors="replace").splitlines()
    # Not the tracebacks of enqueuers: what the bus said.
    assert wrong == [], "\n".join(each for each in log if each.startswith(("20", "ipcmules:")))[-4000:]


def test_the_ledger_sees_what_is_at_work_at_once() -> None:
    runs = [[1, 7, "in", "key a", 1], [2, 8, "in", "key a", 2], [3, 7, "out", "key a", 1]]
    assert steering._at_once(runs) == {"key a": 1}, "of the second nothing is known: its process was killed"
    assert steering._at_once([*runs, [4, 8, "out", "key a", 2]]) == {"key a": 2}
