"""A cache of 1,000 keys: writing and reading, by one process and by four at once."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from benchmarks.peers.uwsgi_server import UwsgiServer
from benchmarks.rows import Bench, Row, interleave, rate, skipped, versus
from benchmarks.workspace import Agent, Skip, Workspace

PROCESSES = 4
SIZES = {100: "100 B", 10_000: "10 KB"}
#: At least so many times the peer's: writing, reading.
TARGETS = {"uWSGI": (0.25, 0.25), "diskcache": (12.0, 4.0)}
#: Calls a sample, by side.
COUNTS = {"ipcmules": 60_000, "uWSGI": 200_000, "diskcache": 4_000}


class Side:
    """Agents of one kind, all with the same cache."""

    def __init__(self, kind: str, stack: ExitStack) -> None:
        directory = tempfile.mkdtemp(prefix=f"bench-{kind}-", dir="/dev/shm")
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        work = stack.enter_context(Workspace(kind))
        self.agents = {number: work.agent(f"a{number}") for number in range(1, PROCESSES + 1)}
        for number, agent in self.agents.items():
            module = [sys.executable, "-m", "benchmarks.programs.cache_agent"]
            work.start([*module, kind, f"{directory}/cache", f"a{number}"])
            agent.wait_started()


def sample(agents: Mapping[int, Agent], processes: int, call: str, size: int, count: int) -> float:
    """Calls a second of so many of the agents together."""
    asked = [agents[number] for number in range(1, processes + 1)]
    for each in asked:
        each.ask(call, size, count)
    return len(asked) * count / max(each.answer(120) for each in asked)


def run(bench: Bench) -> list[Row]:
    label = "a cache of 1,000 keys"
    if importlib.util.find_spec("lmdb") is None:
        return [skipped(label, "lmdb is not installed")]
    rows: list[Row] = []
    with ExitStack() as stack:
        sides = {"ipcmules": Side("ipcmules", stack).agents}
        if importlib.util.find_spec("diskcache") is None:
            rows.append(skipped(f"{label} / diskcache", "diskcache is not installed"))
        else:
            sides["diskcache"] = Side("diskcache", stack).agents
        try:
            options = ("--cache2", "name=bench,items=2000,blocksize=16384")
            sides["uWSGI"] = stack.enter_context(UwsgiServer(PROCESSES, *options)).agents
        except Skip as skip:
            rows.append(skipped(f"{label} / uWSGI", str(skip)))
        for processes in (1, PROCESSES):
            for size, words in SIZES.items():
                for position, what in enumerate(("set", "get")):
                    takes: dict[str, Callable[[], float]] = {}
                    for kind, agents in sides.items():
                        count = bench.scaled(COUNTS[kind] // processes)
                        takes[kind] = lambda a=agents, c=count, w=what, s=size, p=processes: sample(  # type: ignore[misc]
                            a, p, f"cache_{w}s", s, c
                        )
                    samples = interleave(takes, bench.rounds)
                    ours = samples.pop("ipcmules")
                    by = "1 process" if processes == 1 else f"{processes} processes"
                    rows += [
                        versus(
                            f"cache: {what} {words}, {by}", peer, ours, theirs, rate,
                            at_least=TARGETS[peer][position],
                        )
                        for peer, theirs in samples.items()
                    ]  # fmt: skip
    return rows
