"""Tasks of the cluster that come by themselves: one a tick, whatever clocks hosts have, wherever they die."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipcmules.bus.places import places
from ipcmules.carrier.tasks.schedules import Schedules
from ipcmules.carrier.tasks.values import Stored, Superseded
from ipcmules.decorators import spool
from ipcmules.decorators.periods import Cron, Every
from ipcmules.spooler import calls, clustered_schedules, names, schedules
from ipcmules.spooler.clustered_schedules import ClusterTicker
from ipcmules.spooler.schedules import State


def function(**period: Any) -> calls.SpoolFunction:
    @spool(pass_arguments=True, name="app.tidy", **period)
    def tidy(more: int = 1) -> None: ...

    return tidy._carried


class Killed(BaseException):
    """A host ends here."""


class Cluster:
    """What the servers keep, and carriers that may be killed before or after any step."""

    def __init__(self) -> None:
        self.note_of: dict[str, tuple[bytes, int]] = {}
        self.tasks: dict[str, bytes] = {}
        self.running: set[str] = set()
        self.named: list[str] = []
        self.lives = 1 << 30
        self._answers = Schedules(self, self._find).answers  # type: ignore[arg-type]

    def _step(self, act: Any) -> Any:
        """A kill is before it or after it."""
        self.lives -= 1
        if self.lives == 0:
            raise Killed
        found = act()
        self.lives -= 1
        if self.lives == 0:
            raise Killed
        return found

    async def note(self, _spooler: str, about: str) -> tuple[bytes, int]:
        return self.note_of.get(about, (b"", 0))

    async def set_note(self, _spooler: str, about: str, text: bytes, place: int) -> int:
        if self.note_of.get(about, (b"", 0))[1] != place:
            raise Superseded

        def put() -> int:
            state = schedules.loaded(text)
            assert state is not None
            if state.pending:
                self.named.append(state.task)
            self.note_of[about] = text, place + 1
            return place + 1

        return int(self._step(put))

    async def store(self, task: Stored, _seconds: float, _called: str = "") -> None:
        def put() -> None:
            if task.name not in self.tasks:  # Nats-Msg-Id
                self.tasks[task.name] = task.data
                self.running.add(task.name)

        self._step(put)

    async def _find(self, question: dict[str, Any], _body: bytes) -> tuple[dict[str, Any], bytes]:
        return {"status": "waiting" if question["name"] in self.running else "unknown"}, b""

    def ask(self, _where: Any, head: dict[str, Any], body: bytes, _seconds: float) -> tuple[Any, bytes]:
        return asyncio.run(self._answers[head["do"]](head, body))

    @property
    def state(self) -> State:
        [(text, _place)] = self.note_of.values()
        found = schedules.loaded(text)
        assert found is not None
        return found


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(clustered_schedules, "client", made)
    return made


def ticker(**period: Any) -> ClusterTicker:
    return ClusterTicker(places("unit"), "mail", [function(**period)])


def test_of_two_hosts_one_stores_it_and_one_at_a_time(cluster: Cluster) -> None:
    one, two = ticker(every=60), ticker(every=60)
    one.tick(1000.0)
    two.tick(1001.0)
    assert (one.next, two.next, cluster.tasks) == (1060.0, 1060.0, {})
    two.tick(1060.0)
    one.tick(1060.0)
    assert (len(cluster.tasks), one.next, two.next) == (1, 1120.0, 1120.0)
    two.tick(1120.0)
    one.tick(1120.5)
    assert (len(cluster.tasks), one.next) == (1, 1180.0), "the first is there still"
    cluster.running.clear()
    later = ticker(every=60)  # nobody was there for a day
    later.tick(1180.0 + 86400 + 7)
    one.tick(1180.0 + 86400 + 7)
    assert (len(cluster.tasks), later.next, one.next) == (2, 1180.0 + 86460, 1180.0 + 86460)
    assert b"app.tidy" in cluster.tasks[cluster.state.task]


def test_code_with_another_schedule_takes_over_when_it_starts(cluster: Cluster) -> None:
    old, new = ticker(every=60), ticker(cron="*/10 * * * *", tz="UTC")
    old.tick(1000.0)
    new.tick(1030.0)
    assert new.next == 1200.0
    old.tick(1060.0)
    assert (old.next, cluster.tasks) == (1120.0, {}), "it looks again, and does not take it back"
    new.tick(1200.0)
    assert len(cluster.tasks) == 1


def test_clocks_that_are_apart_have_no_tick_twice_and_one_that_was_set_back_goes_on(cluster: Cluster) -> None:
    ahead, behind = (ticker(cron="0 * * * *", tz="UTC") for _ in range(2))
    ahead.tick(3000.0)
    behind.tick(2970.0)
    ahead.tick(3600.0)
    cluster.running.clear()
    behind.tick(3570.0)
    behind.tick(3600.0)
    assert len(cluster.tasks) == 1 and behind.next == 7200.0
    again = ticker(cron="0 * * * *", tz="UTC")
    again.tick(100.0)  # set back by two hours
    assert again.next == 3600.0


def test_trouble_is_tried_again_and_said_once(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away = SimpleNamespace(ask=lambda *_given: ({"said": "away", "why": "no server"}, b""))
    one = ticker(every=60)
    with monkeypatch.context() as patch:
        patch.setattr(clustered_schedules, "client", away)
        now = 1000.0
        for _ in range(8):
            one.tick(now)
            assert now < one.next <= now + 5.0
            now = one.next
    assert caplog.text.count("app.tidy cannot be written, it is tried again: no server") == 1
    one.tick(now)
    assert one.next == now + 60
    new = ticker(every=90)  # trouble at its first look: its schedule counts all the same
    with monkeypatch.context() as patch:
        patch.setattr(clustered_schedules, "client", away)
        new.tick(now)
    new.tick(now + 1)
    assert new.next == now + 91


def test_what_cannot_be_the_clusters_is_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    @spool(pass_arguments=True, every=60, rate="1/m")
    def limited() -> None: ...

    tidy = function(every=60)
    assert clustered_schedules.able([limited._carried, tidy]) == [tidy]
    assert "limited() do not come by themselves: limited() has rate=" in caplog.text


SCHEDULES = st.sampled_from([Every(10.0), Cron("* * * * *", "UTC")])


@given(
    SCHEDULES,
    st.lists(
        st.tuples(st.integers(0, 2), st.floats(0, 25), st.integers(0, 9), st.booleans(), st.booleans()),
        max_size=30,
    ),
)
def test_no_tick_is_lost_or_doubled(schedule: Any, acts: list[tuple[int, float, int, bool, bool]]) -> None:
    """Three hosts whose clocks are apart; (who, seconds later, killed at which step, starts anew, runs what
    is there)."""
    cluster, offsets = Cluster(), (0.0, 7.5, -13.0)
    period = {"every": 10.0} if isinstance(schedule, Every) else {"cron": "* * * * *", "tz": "UTC"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clustered_schedules, "client", cluster)
        hosts = [ticker(**period) for _ in offsets]
        now = start = 10_000.0
        moments: list[float] = []
        for who, later, kill, anew, runs in acts:
            now += later
            cluster.lives = kill or 1 << 30
            if anew:
                hosts[who] = ticker(**period)
            before = len(cluster.named)
            due = cluster.state.next if cluster.note_of else 0.0
            try:
                hosts[who].tick(now + offsets[who])
            except Killed:
                hosts[who] = ticker(**period)
            if len(cluster.named) > before:
                moments.append(due)
            if runs:
                cluster.running.clear()
        cluster.lives = 1 << 30
        ticker(**period).tick(now + 7.5)
        assert cluster.note_of and not cluster.state.pending
    assert set(cluster.tasks) == set(cluster.named), "each that was named is stored"
    assert len(set(cluster.named)) == len(cluster.named)
    assert sorted(set(moments)) == moments and all(each > start - 13.0 for each in moments)


@given(
    st.builds(
        State,
        st.text(st.characters(exclude_categories=["Cs"])),
        st.floats(-1e11, 1e11),
        st.one_of(st.just(""), st.builds(names.new_name)),
        st.booleans(),
    ),
    st.text(st.characters(exclude_categories=["Cs"])),
)
def test_a_state_is_read_as_it_was_written(state: State, whole: str) -> None:
    assert schedules.loaded(schedules.dumped(state, whole)) == state


@given(st.binary())
def test_what_is_no_state_is_none(data: bytes) -> None:
    assert schedules.loaded(data) is None
    assert schedules.loaded(b'{"schedule": "every 60 s", "next": "x"}') is None
