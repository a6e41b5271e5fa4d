"""The arithmetic of timers, with a clock that the test holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipcmules.events.ticks import Ticks

MS, SECOND = 1_000_000, 1_000_000_000

starts = st.integers(0, 1 << 60)
intervals = st.integers(MS, 10**9 * SECOND)


@given(starts, intervals, st.integers(1, 60), st.lists(st.floats(0, 0.999), min_size=1, max_size=60))
def test_no_drift(start: int, interval: int, iterations: int, lateness: list[float]) -> None:
    """However late each tick is seen, below an interval: the k-th is due at start + k * interval."""
    ticks = Ticks(start, interval, iterations)
    for k in range(1, iterations + 1):
        assert ticks.next == start + k * interval
        now = ticks.next + int(lateness[k % len(lateness)] * interval)
        assert ticks.due(ticks.next - 1) == (0, ticks.next)
        count, following = ticks.due(now)
        assert count == 1
        assert following == (start + (k + 1) * interval if k < iterations else None)
        assert ticks.due(now) == (0, following)
    assert ticks.due(start + 10 * (iterations + 1) * interval) == (0, None)


@given(starts, intervals, st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 0.999)), min_size=1))
def test_a_gap_is_one_tick_and_the_phase_stays(
    start: int, interval: int, gaps: list[tuple[int, float]]
) -> None:
    ticks, now = Ticks(start, interval), start
    for whole, part in gaps:
        before = ticks.next
        assert before is not None
        now += whole * interval + int(part * interval)
        count, following = ticks.due(now)
        assert count == (1 if now >= before else 0)
        assert following is not None
        assert now < following <= max(now, before) + interval
        assert (following - start) % interval == 0


@given(starts, intervals, st.integers(1, 100), st.lists(st.integers(0, 20), min_size=100, max_size=100))
def test_missed_ticks_are_no_iterations(start: int, interval: int, iterations: int, gaps: list[int]) -> None:
    ticks, now, raised = Ticks(start, interval, iterations), start, 0
    for gap in gaps:
        now += gap * interval
        count, _following = ticks.due(now)
        assert count in (0, 1)
        raised += count
    for _ in range(iterations):
        now += interval
        raised += ticks.due(now)[0]
    assert raised == iterations
    assert ticks.next is None


@given(starts, st.integers(1, 1000))
def test_no_interval_is_all_at_once(start: int, iterations: int) -> None:
    ticks = Ticks(start, 0, iterations)
    assert ticks.due(start) == (iterations, None)
    assert ticks.due(start + SECOND) == (0, None)
