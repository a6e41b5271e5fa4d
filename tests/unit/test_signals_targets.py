"""What targets name, over all buses and texts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipcmules.bus.config import BusConfig, Farm, Program
from ipcmules.bus.layout import Layout
from ipcmules.errors import SignalError
from ipcmules.signals.targets import check, resolve

WORDS = [
    "",
    "mule",
    "mule0",
    "mules",
    "worker",
    "worker0",
    "workers",
    "active-workers",
    "spooler",
    "subscribed",
]
targets = st.one_of(
    st.sampled_from(WORDS),
    st.builds("{}{}".format, st.sampled_from(["mule", "worker", "farm", "farm_f"]), st.integers(-2, 300)),
    st.text(max_size=20),
)


@st.composite
def buses(draw: st.DrawFn) -> BusConfig:
    mules = draw(st.integers(0, 6))
    count = draw(st.integers(0, 3)) if mules else 0
    members = st.lists(st.integers(1, max(mules, 1)), min_size=1, max_size=3, unique=True)
    return BusConfig(
        mules=(Program(),) * mules,
        farms=tuple(Farm(f"f{index}", tuple(draw(members))) for index in range(1, count + 1)),
        processes=draw(st.integers(0, 3)),
    )


@given(targets, buses(), st.sets(st.integers(1, 256), max_size=5))
def test_a_target_names_endpoints_that_exist_or_nothing(target: str, bus: BusConfig, live: set[int]) -> None:
    layout = Layout(len(bus.mules), len(bus.farms))
    meaning = resolve(target, bus)
    endpoints = meaning.endpoints(layout, live)
    assert len(set(endpoints)) == len(endpoints)
    assert all(0 <= each < layout.endpoints for each in endpoints)
    if not meaning.follows_workers:
        assert endpoints == meaning.endpoints(layout, ())
    first_worker = layout.worker_endpoint(1)
    reached = {each - first_worker + 1 for each in endpoints if each >= first_worker}
    assert reached <= live | set(range(1, bus.processes + 1))  # only workers that are there, or will be again


@given(buses(), st.integers(0, 9))
def test_numbers_name_what_is_there(bus: BusConfig, number: int) -> None:
    layout = Layout(len(bus.mules), len(bus.farms))
    mule = resolve(f"mule{number}", bus).endpoints(layout, ())
    assert bool(mule) == (number <= len(bus.mules) and bool(bus.mules))
    farm = resolve(f"farm{number}", bus).endpoints(layout, ())
    assert farm == resolve(f"farm_f{number}", bus).endpoints(layout, ())
    assert bool(farm) == (1 <= number <= len(bus.farms))


@given(st.text())
def test_a_target_fits_or_is_an_error_that_names_it(target: str) -> None:
    if len(target.encode()) <= 63 and "\0" not in target:
        assert check(target) == target
        return
    with pytest.raises(SignalError, match=re.escape(repr(target))):
        check(target)


@pytest.mark.parametrize("target", [None, b"mule1", 1, ["mule1"]])
def test_a_target_is_text(target: object) -> None:
    with pytest.raises(TypeError, match="a signal's target is a str such as 'mule1'"):
        check(target)


def test_a_lone_surrogate_is_an_error() -> None:
    with pytest.raises(SignalError, match="cannot be written as UTF-8"):
        check("\udcff")
