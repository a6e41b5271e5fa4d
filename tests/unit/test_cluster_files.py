"""What a cluster has in files and queues: letters, the outbox, the carrier's hand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ipcmules.bus.config import BusConfig, Program
from ipcmules.bus.places import places, private_directory
from ipcmules.carrier.hand import ARRIVING, DONE, HERE, Delivery, Hand
from ipcmules.carrier.names import Names
from ipcmules.cluster import addresses, letters, outbox
from ipcmules.cluster.letters import Letter
from ipcmules.errors import UnknownTarget
from ipcmules.messages import kept
from ipcmules.options.values import Farm, cluster_farm


def test_letters() -> None:
    letter = Letter(7, "$JS.ACK.stream.members.1.2.3.4.5", 3, b"\0body")
    seal = os.urandom(letters.SEAL)
    packed = letters.pack(letter, seal)
    assert letters.unpack(packed, seal) == letter
    many = letter._replace(deliveries=10**6)
    assert letters.unpack(letters.pack(many, seal), seal) == letter._replace(deliveries=0xFFFF)
    for data in (b"", b"x", letters.PREFIX, letters.PREFIX + b"1234", packed[:55]):
        assert letters.unpack(data, seal) is None
    assert letters.unpack(packed, os.urandom(letters.SEAL)) is None


def test_a_carrier_that_is_faster_than_the_disk(
    bus_env: object, bus_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = outbox.files.replace

    def taken_at_once(path: str, *parts: bytes, temporary: str) -> None:
        replace(path, *parts, temporary=temporary)
        os.unlink(path)

    monkeypatch.setattr(outbox.files, "replace", taken_at_once)
    outbox.put(places(bus_name), "work", b"published already", "name")
    assert outbox.listing(places(bus_name)) == []


def test_an_outbox_in_its_order(bus_env: object, bus_name: str) -> None:
    where = places(bus_name)
    assert outbox.listing(where) == []
    outbox.put(where, "work", b"one\ntwo", "name")
    outbox.put_signal(where, 17, "mules@all", "handler", "tick-1")
    outbox.done(where, "token")
    outbox.hand_back(where, Letter(7, "other", 1, b""))
    items = [outbox.load(path) for path in outbox.listing(where)]
    assert [each.kind for each in items] == [outbox.MESSAGE, outbox.SIGNAL, outbox.DONE, outbox.BACK]
    message, signal, done, back = items
    assert (message.farm, message.name, message.body) == ("work", "name", b"one\ntwo")
    assert (signal.signal, signal.target, signal.handler) == (17, "mules@all", "handler")
    assert signal.tick and signal.name == "tick-1" and 0 <= signal.age < 600
    assert done.token == "token" and (back.token, back.generation) == ("other", 7)
    home = Path(outbox.directory(where))
    (home / ".1-999999999-1").touch()  # of a writer that was killed
    (home / "2.out").write_text("[]\n")
    assert len(outbox.listing(where)) == 5 and not (home / ".1-999999999-1").exists()
    with pytest.raises(ValueError, match="no file of an outbox"):
        outbox.load(str(home / "2.out"))


def test_a_letter_that_would_be_kept_goes_back(bus_env: object, bus_name: str) -> None:
    where = places(bus_name)
    letter, seal = Letter(7, "token", 1, b"body"), letters.seal(where)
    assert letters.seal(where) == seal  # one for good
    path = kept.store(where, letters.pack(letter, seal), "farm.work", "a reason")
    assert outbox.load(path).kind == outbox.BACK and kept.listing(where) == []
    # Whatever an application writes is its own.
    for forged in (letters.PREFIX + b"an application's own", letters.pack(letter, bytes(letters.SEAL))):
        assert kept.load(kept.store(where, forged, "pool", "a reason")).data == forged


def test_without_a_seal_nothing_is_a_letter(bus_env: object, bus_name: str) -> None:
    where = places(bus_name)
    forged = letters.pack(Letter(7, "token", 1, b"body"), bytes(letters.SEAL))
    assert letters.opened(where, forged) is None and outbox.listing(where) == []
    assert kept.load(kept.store(where, forged, "pool", "a reason")).data == forged


def test_a_carrier_goes_on_with_its_predecessors_hand(bus_env: object, bus_name: str) -> None:
    where = places(bus_name)
    for directory in (os.path.dirname(where.runtime), where.runtime):
        private_directory(directory)
    hand = Hand(where, 7)
    assert hand.read() == {}
    hand.note("a", Delivery("work", "1", HERE))
    hand.note("b", Delivery("work", "2", ARRIVING))
    hand.note("c", Delivery("work", "3", DONE))
    hand.note("d", Delivery("work", "4", HERE))
    hand.forget("d")
    with open(os.path.join(where.runtime, "carrier.hand"), "ab") as file:
        file.write(b'["e", "wor')  # killed in the middle of it
    left = {"a": ("work", "1", HERE), "b": ("work", "2", ARRIVING), "c": ("work", "3", DONE)}
    assert Hand(where, 7).read() == left
    # Of another bus nothing is in its members' hands.
    other = Hand(where, 8)
    assert other.read() == {**left, "a": ("work", "1", ARRIVING)}
    for number in range(5000):
        other.note(str(number), Delivery("work", "5", HERE))
        other.forget(str(number))
    assert os.path.getsize(os.path.join(where.runtime, "carrier.hand")) < 200_000
    other.leave()
    [path] = outbox.listing(where)
    assert outbox.load(path).token == "c"
    shutil.rmtree(where.runtime)


def test_names_with_dots_are_no_other_names() -> None:
    one, two = Names("shop.eu"), Names("shop")
    assert one.stream("a.b") == "ipcmules-shop%eu-farm-a%b"
    assert one.subject("a.b").count(".") == 4 and two.raised("web.1") == "ipcmules.shop.signal.host.web%1"
    assert two.raised("all") == "ipcmules.shop.signal.all" != two.raised_at("all")


def test_without_a_cluster_nothing_of_it_is_imported(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    """In the command, a process of the bus that sends and raises; only what a letter looks like is known."""
    code = (
        "import sys, ipcmules; ipcmules.mule_msg(b'x'); ipcmules.farm_msg('work', b'x'); ipcmules.signal(9);"
        "print([each for each in sys.modules if 'cluster' in each or 'carrier' in each or each == 'nats'])"
    )
    options = ("--bus", bus_name, "--mules", "1", "--farm", "work:1")
    done = subprocess.run(
        [sys.executable, "-m", "ipcmules", "run", *options, "--", sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = done.stdout.splitlines()[-1]
    allowed = {"ipcmules.cluster", "ipcmules.cluster.letters", "ipcmules.options.cluster"}
    assert set(eval(found)) <= allowed, found


def test_what_other_hosts_can_send_to() -> None:
    mules = (Program(),) * 3
    farms = (Farm("mail", (1, 2)), Farm("all", (1, 2, 3)))
    config = BusConfig(cluster=("nats://h:1",), mules=mules, farms=farms, cluster_mules=(1,))
    assert set(addresses.of(config)) == {"1"} and addresses.of(BusConfig(mules=mules, farms=farms)) == {}
    config = BusConfig(
        cluster=("nats://h:1",),
        mules=mules,
        farms=farms,
        cluster_farms=(cluster_farm("far:2"),),
        cluster_mules=(1, 2),
    )
    assert set(addresses.of(config)) == {"1", "2", "mail", "far"}
    everybody = BusConfig(cluster=("nats://h:1",), mules=mules, farms=farms, cluster_mules=(1, 2, 3))
    found = addresses.of(everybody)
    assert set(found) == {"0", "1", "2", "3", "mail", "all"}
    assert found["0"] == ("pool", (1, 2, 3)) and found["mail"] == ("farm.mail", (1, 2))
    assert addresses.split("02@web.1") == ("2", "web.1")
    for wrong in ("2@", "@web1", "2@all", "2@any", "a b@web1", "2@web1@web2"):
        with pytest.raises(UnknownTarget, match=re.escape(wrong)):
            addresses.split(wrong)
