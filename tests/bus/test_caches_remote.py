"""Caches of a bus asked by packets (modifier 111), what they begin with, and what `status` says of them."""

from __future__ import annotations

import gzip
import json
import re
import socket
from pathlib import Path

import pytest

import ipcmules
from ipcmules.compat.remote_caches import RemoteCache
from ipcmules.errors import CacheFull
from ipcmules.wire import cached, packets
from support import Launcher, run_cli, wait_until

OPTIONS = (
    *("--cache2", "name=one,items=10,blocksize=1000000", "--cache2", "name=two,items=100"),
    *("--socket", "127.0.0.1:0"),
)


def address(launcher: Launcher) -> str:
    return str(wait_until(lambda: re.search(r"packets at (127\.0\.0\.1:\d+)", launcher.stderr))[1])


def test_packets(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    with Launcher("--bus", bus_name, *OPTIONS, cwd=tmp_path) as launcher, ipcmules.attach(bus_name):
        node, here = address(launcher), ipcmules.cache("one")
        there, second, nobody = (RemoteCache(f"{name}@{node}") for name in ("", "two", "nobody"))
        assert there.add(b"k", b"v") and not there.add(b"k", b"w") and here["k"] == b"v" == there.get(b"k")
        there.set(b"large", b"x" * 900_000, 100)
        assert (
            there.get(b"large") == here["large"] == b"x" * 900_000
            and 99 < (here.expires("large") or 0) <= 100
        )
        assert there.exists(b"k") and there.delete(b"k") and not there.delete(b"k") and not there.exists(b"k")
        here["number"] = -5
        assert there.get(b"number") == (-5).to_bytes(8, "little", signed=True)
        with pytest.raises(CacheFull):
            there.set(b"long", b"x" * 1_000_001)
        wait_until(lambda: "a value of 1000001 bytes for cache 'one', which takes 1000000" in launcher.stderr)
        second.set(b"k", b"two")
        assert there.clear() and len(here) == 0 and second.get(b"k") == b"two"
        assert nobody.get(b"k") is None and not nobody.clear() and nobody.add(b"k", b"v") is False
        # The name of a cache is no path.
        assert RemoteCache(f"{tmp_path}/x@{node}").add(b"k", b"v") is False and not (tmp_path / "x").exists()
        for payload in (
            b"",
            b"\xff",
            packets.pack_vars({b"cmd": b"format"}),
            packets.pack_vars({b"cmd": b"set"}),
        ):
            with pytest.raises(ValueError, match="hung up"):
                ipcmules.send_message(node, cached.CACHE, cached.MAGIC, payload)
        with pytest.raises(ValueError, match="hung up"):
            ipcmules.send_message(node, cached.CACHE, 0, b"k")
        with socket.create_connection(tuple(node.split(":"))) as slow:  # type: ignore[arg-type]
            variables = packets.pack_vars({b"cmd": b"set", b"key": b"half", b"size": b"10"})
            slow.sendall(
                packets.pack_header(cached.CACHE, len(variables), cached.MAGIC) + variables + b"half"
            )
        assert there.get(b"half") is None


def test_with_a_key_changes_are_signed(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("0123456789abcdef0123456789abcdef")
    (tmp_path / "key").chmod(0o600)
    options = (*OPTIONS, "--socket-key-file", "key")
    with Launcher("--bus", bus_name, *options, cwd=tmp_path) as launcher:
        node = address(launcher)
        unsigned = RemoteCache(f"one@{node}")
        with ipcmules.attach(bus_name):
            signed = RemoteCache(f"one@{node}")
        signed.set(b"k", b"v")
        assert unsigned.get(b"k") == b"v" and unsigned.exists(b"k")
        with pytest.raises(CacheFull):
            unsigned.set(b"k", b"w")
        assert not unsigned.add(b"new", b"w") and not unsigned.delete(b"k") and not unsigned.clear()
        wait_until(lambda: "without a valid signature" in launcher.stderr)
        # The signature covers the value.
        key = (tmp_path / "key").read_bytes()
        variables = packets.pack_vars({b"cmd": b"get", b"key": b"k"})
        assert not cached.is_signed(variables, b"", key)
        assert signed.get(b"k") == b"v" and signed.add(b"new", b"w") and signed.clear()


def test_what_they_begin_with(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    (tmp_path / "page").write_bytes(b"<html>" * 100)
    (tmp_path / "style").write_bytes(b"<style>" * 100)
    (tmp_path / "empty").touch()
    options = ("--load-file-in-cache", "page", "--load-file-in-cache-gzip", "two style", *OPTIONS)
    options = (*options, "--add-cache-item", "one a=b=c", "--add-cache-item", "two a=kept, text")
    options = (*options, "--load-file-in-cache", "empty", "--load-file-in-cache", "one nothing")
    options = (*options, "--queue", "3")
    options = (*options, "--sharedarea", "1", "--add-cache-item", "both=1")
    with Launcher("--bus", bus_name, *options, cwd=tmp_path) as launcher, ipcmules.attach(bus_name):
        one, two = ipcmules.cache("one"), ipcmules.cache("two")
        assert dict(one.items()) == {b"page": b"<html>" * 100, b"a": b"b=c", b"both": b"1"}
        assert sorted(two.keys()) == [b"a", b"both", b"page", b"style"] and two["a"] == b"kept, text"
        assert gzip.decompress(two["style"]) == b"<style>" * 100 and two["page"] == b"<html>" * 100
        assert "empty is not in cache 'one'" in launcher.stderr and "nothing is not in" in launcher.stderr
        for number in range(12):
            two[f"k{number}"] = "v"
        found = json.loads(run_cli("status", "--bus", bus_name, "--json").stdout)
        assert [(each["name"], each["entries"], each["items"]) for each in found["caches"]] == [
            ("one", 3, 10),
            ("two", 16, 100),
        ]
        assert found["ring"] == {"slots": 3, "push": 0, "pull": 0} and found["areas"][0]["size"] == 4096
        shown = run_cli("status", "--bus", bus_name).stdout
        assert "caches: one 3 of 10 entries, " in shown and "two 16 of 100 entries, " in shown
        assert "queue: 3 slots, push at 0, pull at 0\nshared areas: 0 4096 bytes" in shown


@pytest.mark.parametrize("text", ["a", "=b", "a=", "one ", "one =b"])
def test_an_entry_that_cannot_be(text: str) -> None:
    done = run_cli("run", "--add-cache-item", text, "--", "true")
    assert done.returncode == 2 and "KEY=VALUE" in done.stderr
