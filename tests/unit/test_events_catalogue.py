"""Which events there are: identity in the process, the master's book over reloads, and what is due next."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

import scripts
from ipcmules.events import specs
from ipcmules.kernel import processes
from ipcmules.kernel.processes import ProcessId
from ipcmules.master.events.catalogue import Book, Event
from ipcmules.master.events.due import Due

ME, DEAD = processes.current(), ProcessId(2**22 + 1, 1)


class Recorded:
    """A source that keeps what runs, and what was started anew."""

    def __init__(self) -> None:
        self.running: dict[str, Event] = {}
        self.begun: list[str] = []

    def start(self, event: Event) -> None:
        assert event.digest not in self.running
        self.running[event.digest] = event
        if event.schedule is None:
            self.begun.append(event.digest)
            event.schedule = [event.spec]

    def stop(self, event: Event) -> None:
        del self.running[event.digest]


def book() -> tuple[Book, Recorded]:
    source = Recorded()
    return Book(lambda kind: source), source


def event(
    name: str, seconds: float = 1, code: int = 1, runtime: bool = False, owner: ProcessId = ME
) -> Event:
    return Event(name, specs.timer(seconds), 7, code, runtime, owner)


def names(found: Book) -> list[str]:
    return sorted(each.digest for each in found)


def test_the_same_event_is_one_and_keeps_what_it_has() -> None:
    found, source = book()
    for _ in range(10):
        found.add(event("a"))
    assert names(found) == ["a"]
    assert source.begun == ["a"]


def test_another_interval_replaces_the_schedule() -> None:
    found, source = book()
    found.add(event("a"))
    (one,) = found
    one.ticks = 5
    found.add(event("a", 2))
    assert list(found) == [one]
    assert (one.spec, one.ticks, source.begun) == (specs.timer(2), 5, ["a", "a"])


def test_what_new_code_does_not_register_goes() -> None:
    found, _source = book()
    for each in (
        event("old"), event("kept"), event("foreign", code=0),
        event("runtime", runtime=True), event("dead", runtime=True, owner=DEAD),
        event("attached", code=0, runtime=True), event("gone", code=0, runtime=True, owner=DEAD),
    ):  # fmt: skip
        found.add(each)
    found.begin_trial(2)
    found.add(event("kept", code=2))
    found.add(event("new", code=2))
    dropped = sorted(each.digest for each in found.drop_outdated(2))
    assert dropped == ["dead", "gone", "old"]
    assert names(found) == ["attached", "foreign", "kept", "new", "runtime"]


def test_a_reload_that_fails_leaves_everything_as_it_was() -> None:
    found, source = book()
    for name in ("changed", "same", "removed"):
        found.add(event(name))
    before = {each.digest: (each.spec, each.code, each.schedule) for each in found}
    found.begin_trial(2)
    found.add(event("changed", 5, code=2))
    found.add(event("same", code=2))
    found.add(event("new", code=2))
    (removed,) = (each for each in found if each.digest == "removed")
    found.remove(removed, code=2)
    found.take_back()
    assert {each.digest: (each.spec, each.code, each.schedule) for each in found} == before
    # A process of the code that failed may come late: that is taken back as well.
    found.add(event("new", code=2))
    found.take_back()
    assert {each.digest: (each.spec, each.code, each.schedule) for each in found} == before
    assert sorted(source.running) == sorted(before)


def test_what_others_remove_while_code_is_on_trial_stays_removed() -> None:
    found, _source = book()
    found.add(event("a"))
    found.begin_trial(2)
    (one,) = found
    found.remove(one, code=1)
    found.take_back()
    assert names(found) == []


def test_what_was_removed_does_not_come_back_with_the_same_code() -> None:
    """A mule that is started again with --lazy-apps loads the app again; attached processes may add it."""
    found, _source = book()
    found.add(event("a"))
    (one,) = found
    found.remove(one)
    found.add(event("a"))
    assert names(found) == []
    found.begin_trial(2)
    found.add(event("a", code=2))
    found.drop_outdated(2)
    assert names(found) == ["a"]
    found.add(event("b", code=0))
    (other,) = (each for each in found if each.digest == "b")
    found.remove(other)
    found.add(event("b", code=0))
    assert names(found) == ["a", "b"]


def test_a_process_of_old_code_changes_nothing() -> None:
    found, _source = book()
    found.add(event("a", 1, code=1))
    found.add(event("a", 2, code=2))
    found.add(event("a", 1, code=1))
    assert [each.spec for each in found] == [specs.timer(2)]


def test_who_attached_keeps_what_only_it_registered() -> None:
    found, _source = book()
    found.add(event("a", code=0))
    found.add(event("a", code=1))
    assert [each.code for each in found] == [0]
    found.add(event("b", code=0, owner=DEAD))
    found.add(event("b", code=1))
    assert [(each.code, each.owner) for each in found if each.digest == "b"] == [(1, ME)]


@given(st.lists(st.tuples(st.integers(0, 30), st.one_of(st.none(), st.integers(0, 100))), max_size=200))
def test_due_gives_each_event_once_at_its_last_time(changes: list[tuple[int, int | None]]) -> None:
    due: Due[int] = Due()
    events = [event(str(number)) for number in range(31)]
    wanted: dict[str, int] = {}
    for number, time in changes:
        if time is None:
            due.drop(events[number])
            wanted.pop(str(number), None)
        else:
            due.put(events[number], time)
            wanted[str(number)] = time
    assert {each.digest: due.time_of(each) for each in events if due.time_of(each) is not None} == wanted
    assert due.first() == min(wanted.values(), default=None)
    early = due.pop(50)
    assert sorted((time, each.digest) for time, each in early) == sorted(
        (time, name) for name, time in wanted.items() if time <= 50
    )
    assert [time for time, _each in early] == sorted(time for time, _each in early)
    assert due.first() == min((time for time in wanted.values() if time > 50), default=None)


# Identity: what a process records

MODULE = """
import ipcmules
from ipcmules.decorators import cron, timer

@timer({seconds}, target="mule")
def one(number): pass

for each in range(2):
    ipcmules.add_timer(7, {seconds})
ipcmules.add_rb_timer(7, {seconds})
ipcmules.add_cron(7, {minute}, -1, -1, -1, -1)
ipcmules.add_file_monitor(7, "/tmp/{path}")
"""
SHOW = """
import importlib, sys
import ipcmules
from ipcmules.member import membership; from ipcmules.api import timers as scheduling
{before}
for name in sys.argv[1:]:
    importlib.import_module(name)
{after}
for each in scheduling._recording().records():
    print(each.spec.kind, each.runtime, each.digest.hex(), sep=",")
"""


def recorded(directory: Path, *modules: str, before: str = "", after: str = "") -> list[str]:
    """What a process on no bus records that imports these modules."""
    environment = {**os.environ, "PYTHONPATH": f"{directory}:{Path(__file__).parents[2]}"}
    environment.pop("IPCMULES_BUS", None)
    # By -c: the program is no file that is being loaded itself.
    source = SHOW.format(before=before, after=after)
    done = subprocess.run(
        [sys.executable, "-B", "-c", source, *modules],
        env=environment, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.stdout.split()


def module(directory: Path, name: str, seconds: float = 1, minute: int = -5, path: str = "x") -> None:
    scripts.write(directory, f"{name}.py", MODULE.format(seconds=seconds, minute=minute, path=path))


def test_events_of_one_file_are_the_same_in_every_process(tmp_path: Path) -> None:
    module(tmp_path, "one")
    module(tmp_path, "two")
    first = recorded(tmp_path, "one", "two")
    assert len(set(first)) == 12
    assert sorted(recorded(tmp_path, "two", "one")) == sorted(first)
    again = recorded(tmp_path, "one", "two", after="importlib.reload(sys.modules['one'])")
    assert sorted(again) == sorted(first)


def test_a_change_of_interval_or_minute_is_the_same_event_and_another_path_is_not(tmp_path: Path) -> None:
    module(tmp_path, "one")
    first = recorded(tmp_path, "one")
    module(tmp_path, "one", seconds=2, minute=30)
    assert recorded(tmp_path, "one") == first
    module(tmp_path, "one", path="y")
    changed = recorded(tmp_path, "one")
    assert [each.partition(",")[0] for each in changed if each not in first] == ["file"]


def test_a_number_that_this_process_registered_stands_for_that_handler(tmp_path: Path) -> None:
    module(tmp_path, "one")
    register = "ipcmules.register_signal(7, 'mule', {})"
    plain = recorded(tmp_path, "one")
    handled = recorded(tmp_path, "one", before="def h(n): pass\n" + register.format("h"))
    assert handled[0] == plain[0]  # its signal was chosen
    assert not set(handled[1:]) & set(plain[1:])


def test_outside_loading_every_event_is_a_new_one(tmp_path: Path) -> None:
    found = recorded(tmp_path, after="ipcmules.add_timer(7, 1)\nipcmules.add_timer(7, 1)")
    assert [each.split(",")[1] for each in found] == ["True", "True"]
    assert len({each.split(",")[2] for each in found}) == 2
    assert recorded(tmp_path, after="ipcmules.add_timer(7, 1)")[0] not in found


def test_what_is_removed_before_there_is_a_bus_is_not_recorded(tmp_path: Path) -> None:
    module(tmp_path, "one")
    after = "assert ipcmules.remove_timer(7) == 3\nassert ipcmules.remove_file_monitor(7, '/tmp/y') == 0"
    after += "\nassert ipcmules.remove_file_monitor(7, '/tmp/x') == 1\nassert ipcmules.remove_cron(7) == 1"
    assert [each.partition(",")[0] for each in recorded(tmp_path, "one", after=after)] == ["timer"]
