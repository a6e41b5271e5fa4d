"""200,000 messages from 4 senders to 4 mules: every one arrives, none twice, each sender's order kept."""

from __future__ import annotations

import json
import struct
from collections import Counter
from pathlib import Path

import scripts

SENDERS = 4
MULES = 4
POOL, FARM, DIRECT = 0, 100, 1  # routes; direct ones are 1 to 4, a mule's number
#: How many messages each sender sends by each route: 50,000 in all.
PLAN = {POOL: 15_000, FARM: 15_000, 1: 5_000, 2: 5_000, 3: 5_000, 4: 5_000}
RECORD = struct.Struct("<BBI")  # sender, route, number

PROGRAM = """
    import functools
    import json
    import multiprocessing
    import struct
    import sys

    import ipcmules

    RECORD = struct.Struct("<BBI")


    def write_down():
        with open(f"mule{ipcmules.mule_id()}", "ab") as file:
            while True:
                file.write(ipcmules.mule_get_msg())


    def send(sender, plan):
        targets = {route: "farm" if route == 100 else route for route in plan}
        for number in range(max(plan.values())):
            for route, count in plan.items():
                if number < count:
                    assert ipcmules.mule_msg(RECORD.pack(sender, route, number), targets[route])


    if __name__ == "__main__":
        plan = {int(route): count for route, count in json.loads(sys.argv[1]).items()}
        with ipcmules.Bus(mules=[write_down] * 4, farms={"farm": [1, 2, 3, 4]}, mercy=120) as bus:
            context = multiprocessing.get_context("fork")
            senders = [context.Process(target=send, args=(sender, plan)) for sender in range(4)]
            for each in senders:
                each.start()
            for each in senders:
                each.join()
            assert [each.exitcode for each in senders] == [0] * 4
"""


def test_none_lost_none_doubled_order_kept(bus_env: object, tmp_path: Path) -> None:
    program = scripts.write(tmp_path, "program.py", PROGRAM)
    scripts.output(program, json.dumps(PLAN), seconds=170)

    received: Counter[tuple[int, int]] = Counter()
    seen: set[tuple[int, int, int]] = set()
    shares = []
    for mule in range(1, MULES + 1):
        records = list(RECORD.iter_unpack((tmp_path / f"mule{mule}").read_bytes()))
        shares.append(sum(route in (POOL, FARM) for _, route, _ in records))
        last: dict[tuple[int, int], int] = {}
        for sender, route, number in records:
            assert route in (POOL, FARM, mule), f"mule {mule} received what was addressed to mule {route}"
            assert number > last.get((sender, route), -1), (
                f"mule {mule}: sender {sender}, route {route}: order"
            )
            last[sender, route] = number
            received[sender, route] += 1
        seen.update(records)  # type: ignore[arg-type] # Struct.iter_unpack yields tuples of Any
    expected = {(sender, route): count for sender in range(SENDERS) for route, count in PLAN.items()}
    assert received == expected
    assert len(seen) == sum(expected.values()) == 200_000
    assert all(shares), f"pool and farm messages a mule: {shares}"
