"""Tasks of the cluster in files of a host: what spoolers were given, what became of it, what an ended bus
left."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ipcmules.bus.config import BusConfig
from ipcmules.carrier.jetstream.task_names import TaskNames, own_part, part_of
from ipcmules.carrier.tasks import values
from ipcmules.carrier.tasks.hand import AGAIN, ELSEWHERE, GONE, RUNS, WAITS, HandDir, Here
from ipcmules.cluster import tasks
from ipcmules.embed import arguments
from ipcmules.errors import ConfigError, SpoolError
from ipcmules.options.values import SpoolDir, cluster_spooler
from ipcmules.spooler import attempts, claim, clustered, codec, names, outcomes
from ipcmules.spooler.attempts import Policy, Record
from ipcmules.spooler.clustered import ClusterWriter
from ipcmules.spooler.store import Store
from ipcmules.spooler.task import Task

DATA = codec.pack({"ud_spool_func": "work", "priority": "5"})
FAILED = Record(2, 0, 1.0, 2.0, "it raised", "Traceback")


def made(tmp_path: Path) -> tuple[str, HandDir]:
    """A spooler's directories."""
    home = str(tmp_path / "tasks" / "mail")
    tasks.make(SpoolDir(home, name="mail"))
    return home, HandDir(home)


def taken(hand: HandDir, name: str) -> Task:
    """A task that this process, as a spooler, runs."""
    found = Store(hand.directory).claim(name)
    assert isinstance(found, Task)
    return found


def test_given_and_done(tmp_path: Path) -> None:
    _home, hand = made(tmp_path)
    here = Here(names.new_name(), "token", 7)
    hand.put(here, DATA)
    assert hand.how(here) == WAITS and hand.known() == [here]
    task = taken(hand, here.name)
    assert hand.how(here) == RUNS and hand.lock(here.name) is None
    end = outcomes.End(outcomes.SUCCEEDED, time.time(), encoding="json", value=b"1")
    outcomes.write(hand.directory, here.name, end, 60)
    task.done()
    assert hand.how(here) == GONE
    found = hand.end(here.name)
    assert found is not None and found[0].endswith(b"\n1") and 50 < found[1] <= 60
    assert hand.known() == [here]  # until the cluster has heard
    hand.forget(here.name)
    assert hand.known() == []


def test_failures_go_along(tmp_path: Path) -> None:
    _home, hand = made(tmp_path)
    here = Here(names.new_name(), "token", 7, stored=FAILED, given=FAILED)
    hand.put(here, DATA)
    assert hand.how(here) == WAITS and hand.failures(here) == FAILED
    task = taken(hand, here.name)
    assert task.record == FAILED
    task.failed("again", "", Policy(10, 60.0))
    assert hand.how(here) == AGAIN and hand.failures(here).attempts == 3
    held = hand.lock(here.name)
    assert held is not None and hand.read(held) == DATA
    hand.remove(held)
    assert os.listdir(hand.directory) == [] and hand.how(here) == GONE
    hand.forget(here.name)
    assert hand.how(here) == ELSEWHERE


def test_given_up(tmp_path: Path) -> None:
    _home, hand = made(tmp_path)
    here = Here(names.new_name(), "token", 7)
    hand.put(here, DATA)
    taken(hand, here.name).failed("no", "Traceback", Policy(1))
    assert hand.how(here) == GONE
    grave = hand.grave(here.name)
    assert grave is not None and grave[0] == DATA and grave[1].reason == "no"
    hand.drop_grave(here.name)
    assert hand.grave(here.name) is None


def test_what_an_ended_bus_had(tmp_path: Path) -> None:
    home, hand = made(tmp_path)
    waits, runs, over, local = (Here(names.new_name(), "token", number) for number in range(4))
    for each in (waits, runs, over):
        hand.put(each, DATA)
    Path(hand.path(local.name)).write_bytes(DATA)
    claim.hold(hand.path(runs.name))  # as one that another process has
    os.unlink(hand.path(over.name))
    clustered.set_aside(home)
    claim.unhold(hand.path(runs.name))
    assert sorted(os.listdir(hand.directory)) == sorted((runs.name, local.name))
    known = {each.name: each for each in hand.known()}
    assert [hand.left(known[each.name]) for each in (waits, runs, over)] == [True, False, False]
    # A carrier of the ended bus that still lives does not take it for done, now or when it was handed back.
    assert hand.how(waits) == ELSEWHERE and hand.how(over) == GONE
    # A carrier that is killed before it has handed it back leaves that to the next one.
    assert [each.name for each in hand.known() if hand.left(each)] == [waits.name]
    hand.forget(waits.name)
    assert hand.how(waits) == ELSEWHERE
    assert os.listdir(f"{home}/left") == []
    Path(f"{home}/left/{waits.name}").touch()
    assert waits not in hand.known() and os.listdir(f"{home}/left") == []


def test_a_carrier_that_was_killed_while_it_gave(tmp_path: Path) -> None:
    home, hand = made(tmp_path)
    early, late = Here(names.new_name(), "token", 1), Here(names.new_name(), "token", 2)
    for each in (early, late):
        hand.put(each, DATA)
        os.rename(f"{home}/taken/{each.name}", f"{home}/taken/{each.name}.arriving")
    os.unlink(hand.path(early.name))
    Path(f"{home}/taken/{names.new_name()}.arriving.new").touch()
    Path(f"{home}/taken/nonsense").write_text("{}")
    found = {each.name: each for each in hand.known()}
    assert set(found) == {early.name, late.name} and all(each.arriving for each in found.values())
    assert hand.left(found[early.name]) and not hand.left(found[late.name])
    hand.came(found[late.name])
    assert os.listdir(f"{home}/taken") == [late.name] and hand.known() == [late]


def test_writing_for_the_cluster(tmp_path: Path) -> None:
    writer = ClusterWriter(str(tmp_path / "out"), "cluster:mail", False, "")
    name = writer.put(DATA, priority="5")
    assert "/" not in name and clustered.priority_of((tmp_path / "out" / name).read_bytes()) == "5"
    with pytest.raises(SpoolError, match="too large for the cluster"):
        writer.put(DATA, b"x" * clustered.LARGEST)
    keyed = clustered.keyed_name("a" * 32)
    assert names.is_task(keyed) and names.fifo_key(keyed)
    assert clustered.digest_in(keyed) == "a" * 32 and clustered.digest_in(name) == ""


def test_names_in_nats() -> None:
    called = TaskNames("my.shop")
    assert called.task("a.b", "", "x") == "ipcmules.my%shop.task.a%b.none.x"
    assert called.priority_of(called.consumer("")) == "" and called.priority_of(called.consumer("7")) == "7"
    assert own_part("uwsgi_spoolfile_on_web1.example.org_1 *>_2") == "web1%example%org_1%%%_2"
    keyed = clustered.keyed_name("b" * 32)
    assert part_of(keyed) == "~" + "b" * 32 != own_part(keyed)


def test_failures_in_a_header() -> None:
    long = FAILED._replace(traceback="x" * 100_000 + "\nthe end é")
    text = values.packed(long)
    assert len(text) < 30_000 and "\n" not in text and text.isascii()
    assert values.unpacked(text).traceback.endswith("the end é")
    assert values.packed(attempts.NONE) == "" and values.unpacked("nonsense") == attempts.NONE


def test_a_bus_with_a_spooler_of_the_cluster(bus_env: object) -> None:
    given = (cluster_spooler("mail:3"), cluster_spooler("far:0"), cluster_spooler("near,path=/srv/near"))
    config = BusConfig(cluster=("nats://127.0.0.1:4222",), cluster_spoolers=given)
    mail, far, near = config.cluster_spoolers
    assert mail.directory.endswith("/mail") and far.external and near.directory == "/srv/near"
    assert [each.directory for each in config.spoolers] == [f"{mail.directory}/hand", "/srv/near/hand"]
    assert BusConfig.from_json(config.to_json()) == config
    assert tasks.named(config, "far") == far and tasks.named(config, "/srv/near/hand") == near
    assert tasks.named(config, "cluster:mail") == mail and tasks.named(config, "other") is None
    with pytest.raises(ConfigError, match="add --cluster URL"):
        BusConfig(cluster_spoolers=given)
    with pytest.raises(ConfigError, match="given twice"):
        BusConfig(cluster=config.cluster, cluster_spoolers=(given[0], given[0]))
    with pytest.raises(ConfigError, match=r"give Bus\(\) a name"):
        BusConfig(named=False, cluster=config.cluster, cluster_spoolers=given)
    with pytest.raises(ConfigError, match="malformed"):
        cluster_spooler("/a/path")
    assert arguments.cluster_spoolers({"mail": 3, "far": 0}, "cluster_spoolers") == given[:2]


def test_after_a_power_failure(tmp_path: Path) -> None:
    _home, hand = made(tmp_path)
    here = Here(names.new_name(), "token", 7, boot="of another start")
    hand.put(here, DATA)
    os.unlink(hand.path(here.name))  # as if it had never reached the disk
    [found] = hand.known()
    assert hand.left(found)


def test_a_task_that_is_there_still(tmp_path: Path) -> None:
    _home, hand = made(tmp_path)
    here = Here(names.new_name(), "token", 7)
    Path(hand.path(here.name)).write_bytes(b"older")
    claim.hold(hand.path(here.name))
    with pytest.raises(OSError, match="a spooler has it still"):
        hand.put(here, DATA)
    claim.unhold(hand.path(here.name))
    hand.put(here, DATA)
    assert Path(hand.path(here.name)).read_bytes() == DATA
