"""Queues with several receivers: a farm whose handlers do nothing, a pool whose handlers are slow."""

from __future__ import annotations

from benchmarks.peers.ipcmules_bus import IpcmulesBus
from benchmarks.peers.side import shared, shared_by
from benchmarks.peers.uwsgi_server import UwsgiServer
from benchmarks.rows import Bench, Row, duration, interleave, rate, skipped, versus
from benchmarks.workspace import Skip


def run_senders(bench: Bench) -> list[Row]:
    label = "64 B from 4 senders to a farm of 4"
    readers, senders = [1, 2, 3, 4], [5, 6, 7, 8]
    count = bench.scaled(10_000)
    farm = "--farm=f:1,2,3,4"
    try:
        with IpcmulesBus(8, farm) as ours, UwsgiServer(8, farm) as uwsgi:
            samples = interleave(
                {
                    "ipcmules": lambda: 4 * count / shared_by(ours, senders, ["f", 64, count], readers),
                    "uWSGI": lambda: 4 * count / shared_by(uwsgi, senders, ["f", 64, count], readers),
                },
                bench.rounds,
            )
    except Skip as skip:
        return [skipped(label, str(skip))]
    return [versus(label, "uWSGI", samples["ipcmules"], samples["uWSGI"], rate, at_least=1.8)]


def run_farm(bench: Bench) -> list[Row]:
    label = "64 B through a farm of 4, trivial handlers"
    readers = [1, 2, 3, 4]
    count = bench.scaled(40_000)
    farm = "--farm=f:1,2,3,4"
    try:
        with IpcmulesBus(5, farm) as ours, UwsgiServer(5, farm) as uwsgi:
            samples = interleave(
                {
                    "ipcmules": lambda: count / shared(ours, "send_farm", ["f", 64, count], readers, 0),
                    "uWSGI": lambda: count / shared(uwsgi, "send_farm", ["f", 64, count], readers, 0),
                },
                bench.rounds,
            )
    except Skip as skip:
        return [skipped(label, str(skip))]
    return [versus(label, "uWSGI", samples["ipcmules"], samples["uWSGI"], rate, at_least=1.7)]


def run_pool(bench: Bench) -> list[Row]:
    label = "200 messages, pool of 8, 10 ms handlers"
    readers = list(range(1, 9))
    work, count = 0.010, 200
    sides = {}
    rows = []
    with IpcmulesBus(9) as ours:
        sides["ipcmules"] = lambda: shared(ours, "send_pool", [64, count], readers, work)
        try:
            with UwsgiServer(9) as uwsgi:
                sides["uWSGI"] = lambda: shared(uwsgi, "send_pool", [64, count], readers, work)
                samples = interleave(sides, bench.rounds)
        except Skip as skip:
            rows.append(skipped(f"{label} / uWSGI", str(skip)))
            samples = interleave({"ipcmules": sides["ipcmules"]}, bench.rounds)
    mine = samples["ipcmules"]
    ideal = [work * count / len(readers)] * len(mine)
    rows.insert(0, versus(label, "ideal", mine, ideal, duration, at_most=1.15))
    if "uWSGI" in samples:
        rows.append(versus(label, "uWSGI", mine, samples["uWSGI"], duration))
    return rows
