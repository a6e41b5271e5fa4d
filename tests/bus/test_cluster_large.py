"""Messages larger than the servers take in one: in pieces, which are removed when the message is done."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nats
import pytest
from test_cluster_farms import carrier_of

from ipcmules import attach
from ipcmules.carrier.engine import Refused
from ipcmules.carrier.jetstream import large
from ipcmules.carrier.jetstream.engine import JetStream
from ipcmules.carrier.jetstream.large import Place
from ipcmules.carrier.jetstream.streams import Streams
from ipcmules.carrier.login import Login
from ipcmules.carrier.names import Names
from natsservers import SMALL, Servers, cluster_of, needs_nats
from scripts import write
from support import Launcher, run_cli, wait_until

pytestmark = [needs_nats, pytest.mark.slow]

#: A message says by its first letter what its mule is to do, and its other bytes are looked at.
WORKER = """
    import hashlib, os, time
    import ipcmules

    while True:
        message = ipcmules.mule_get_msg()
        kind, again = chr(message[0]), ipcmules.redelivered()
        print("begun", kind, flush=True)
        if kind == "p" or (kind == "o" and not again):
            os.kill(os.getpid(), 9)
        while kind == "w" and not os.path.exists("gate"):
            time.sleep(0.01)
        print("done", kind, len(message), hashlib.sha256(message).hexdigest()[:8], again, flush=True)
"""


def start(tmp_path: Path, bus: str, servers: Servers, *options: str) -> Launcher:
    """A bus with one mule in farm 'work'."""
    write(tmp_path, "worker.py", WORKER)
    return Launcher(
        *("--bus", bus, "--mule=worker.py", *SMALL, "--cluster", servers.urls, "--host", "web1", *options),
        *("--cluster-farm", "work:1", "--cluster-mules", "1"),
        cwd=tmp_path,
    )


def body(kind: str, size: int) -> bytes:
    return kind.encode() + (b"0123456789abcdef" * (size // 16 + 1))[: size - 1]


def line(message: bytes, again: int = 0) -> str:
    """What its mule prints."""
    return f"done {message[:1].decode()} {len(message)} {hashlib.sha256(message).hexdigest()[:8]} {again}"


async def stored(servers: Servers) -> int:
    """How many pieces are stored."""
    client = await nats.connect(servers.urls)
    info = await client.jetstream().stream_info("ipcmules-default-large")
    await client.close()
    return info.state.messages


def pieces(servers: Servers) -> int:
    """As stored()."""
    return asyncio.run(stored(servers))


def test_they_arrive_whole_and_nothing_stays(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    with start(tmp_path, bus_name, servers) as one, attach(bus_name) as attached:
        farm, address, stored, quick, edge = (body(kind, 3_000_000) for kind in "fasqe")
        edge = edge[: 1 << 20]  # as much as a server takes, but for the headers
        assert attached.farm_msg("work", farm, 20) and attached.mule_msg(address, "1@web1", 20)
        assert attached.farm_msg("work", stored, store_and_forward=True)
        assert attached.farm_msg("work", quick, wait=False) and attached.flush(30)
        assert attached.farm_msg("work", edge, 20) and attached.farm_msg("work", b"small", 20)
        for each in (farm, address, stored, quick, edge):
            one.wait_output(line(each))
        wait_until(lambda: not pieces(servers), what="no pieces")


def test_deaths_and_dead_letters(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    once, poison, wait = (body(kind, 2_000_000) for kind in "opw")
    with start(tmp_path, bus_name, servers, "--cluster-max-deliveries", "2") as one:
        with attach(bus_name) as attached:
            assert all(attached.farm_msg("work", each, 20) for each in (once, poison))
            one.wait_output(line(once, 1))
            one.wait_log("is a dead letter: delivered 2 times")
            [letter] = wait_until(lambda: _letters(bus_name))
            assert letter["length"] == len(poison) and pieces(servers) == 4
            shown = run_cli("dead", "show", "--raw", letter["id"], "--bus", bus_name)
            assert shown.stdout == poison.decode()
            assert run_cli("dead", "requeue", letter["id"], "--bus", bus_name).returncode == 0
            wait_until(lambda: one.stderr.count("is a dead letter") == 2)
            [letter] = wait_until(lambda: _letters(bus_name))
            assert run_cli("dead", "drop", letter["id"], "--bus", bus_name).returncode == 0
            assert pieces(servers) == 0
            # A carrier that goes on with its predecessor's hand removes them, too.
            assert attached.farm_msg("work", wait, 20)
            one.wait_output("begun w")
        before = carrier_of(one)
        before.kill()
        wait_until(lambda: carrier_of(one).pid != before.pid)
        (tmp_path / "gate").touch()
        one.wait_output(line(wait))
        wait_until(lambda: not pieces(servers), what="no pieces")


def _letters(bus: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run_cli("dead", "list", "--json", "--bus", bus).stdout)
    return found


def test_a_mule_that_is_gone_leaves_them_to_the_dead_letters(
    servers: Servers, bus_name: str, tmp_path: Path
) -> None:
    message = body("x", 2_000_000)
    with start(tmp_path, f"{bus_name}-a", servers, "--cluster-name", "c"):
        wait_until(lambda: cluster_of(f"{bus_name}-a"))
    (tmp_path / "other").mkdir()
    with Launcher(
        *("--bus", bus_name, "--mules", "1", *SMALL, "--cluster", servers.urls, "--cluster-name", "c"),
        *("--host", "web2"),
        cwd=tmp_path / "other",
    ):
        wait_until(lambda: cluster_of(bus_name))
        with attach(bus_name) as attached:
            assert attached.mule_msg(message, "1@web1", 20)
        assert run_cli("cluster", "forget", "web1", "--bus", bus_name).returncode == 0
        [letter] = _letters(bus_name)
        assert (letter["target"], letter["length"]) == ("1@web1", len(message))
        shown = run_cli("dead", "show", "--raw", letter["id"], "--bus", bus_name)
        assert shown.stdout == message.decode()


def in_engine(servers: Servers, work: Callable[[JetStream], Awaitable[None]]) -> None:
    """Run work(engine) with an engine of this process, as a carrier has one."""

    async def run() -> None:
        there = asyncio.Event()
        streams = Streams(Names("default"), "web1", ("work",), 30.0, 1)
        engine = JetStream(
            Login([servers.urls], {}), streams, [], lambda now: there.set() if now else there.clear(), dict
        )
        running = asyncio.ensure_future(engine.run())
        await asyncio.wait_for(there.wait(), 20)
        try:
            await work(engine)
        finally:
            running.cancel()
            await engine.close()

    asyncio.run(run())


def test_what_nobody_refers_to_is_swept(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names("default")
    place = Place("work", names.stream("work"), names.subject("work", "*"))

    async def work(engine: JetStream) -> None:
        swept = engine._large.sweep
        await engine.publish("work", "wanted", body("w", 2_000_000), 10)
        await engine.publish("work", "dead", body("d", 2_000_000), 10)
        taker = engine.taker("work")
        first, second = await taker.take(), await taker.take()
        assert first and second and len(first.body) == 2_000_000 and second.body[:1] == b"d"
        await engine.dead("work", second, "a reason")
        # A sender that died before it published the reference.
        await engine._publish(names.piece("work", "orphan"), b"x", {"Nats-Msg-Id": "orphan-0"}, 10)
        await engine._publish(names.piece("other", "theirs"), b"x", {"Nats-Msg-Id": "theirs-0"}, 10)
        assert await swept([place]) == 0  # not yet
        assert await swept([place], 0) == 1 and await stored(servers) == 9
        await engine.done(first.token)
        assert await stored(servers) == 5 and await swept([place], 0) == 0
        [letter] = await engine.letters(10)
        await engine.drop(letter["id"])
        assert await stored(servers) == 1
        monkeypatch.setattr(large, "LARGEST", 1_500_000)
        with pytest.raises(Refused, match="more than 1500000"):
            await engine.publish("work", "huge", body("h", 2_000_000), 10)

    in_engine(servers, work)


def test_pieces_that_are_gone(servers: Servers) -> None:
    names = Names("default")

    async def work(engine: JetStream) -> None:
        await engine.publish("work", "name", body("w", 2_000_000), 10)
        await engine._large.drop(names.piece("work", "name"))
        assert await engine.taker("work").take() is None
        [letter] = await engine.letters(10)
        assert "not on the cluster's servers any more" in letter["reason"]
        with pytest.raises(Refused, match="not on the cluster's servers any more"):
            await engine.letter(letter["id"])

    in_engine(servers, work)
