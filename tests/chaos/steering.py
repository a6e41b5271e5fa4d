"""Chains, keys and places under fire: spoolers and enqueuers are killed meanwhile; then the ledger.

    cd tests && python -m chaos.steering [--seconds 30] [--seed N]

Every chain that was accepted comes to its value; each of its parts runs, with at most one extra run for each
spooler that was killed. Two tasks of one unique key are never at work at the same time, nor more than two
where two places are; nothing is left behind. Exit code 1 if that is not so, or if it hangs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import ipcmules
from ipcmules import snapshot
from ipcmules.bus.places import places
from ipcmules.spooler import names

BUS = "chaos-steer"
#: Chains and tasks that nobody comes to for so long hang, seconds.
_STALL = 60.0

_APP = """
import json, os, time
from ipcmules.decorators import spool

log = os.open(os.environ["RUNS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
again = {"pass_arguments": True, "retries": 1000, "backoff": 0.02, "max_backoff": 0.2}

def note(*what):
    os.write(log, json.dumps([time.monotonic(), os.getpid(), *what]).encode() + b"\\n")

@spool(**again)
def begin(number):
    note("part", number, "begin")
    return number

@spool(**again)
def add(value, more):
    note("part", value, f"add {more}")
    return value + more

@spool(**again)
def total(values):
    note("part", values[0], "total")
    return sum(values)

@spool(**again, concurrency=2)
def place(number):
    note("in", "place", number)
    time.sleep(0.004)
    note("out", "place", number)

@spool(**again, unique="{key}")
def alone(key, number):
    note("in", f"key {key}", number)
    time.sleep(0.002)
    note("out", f"key {key}", number)
"""

#: Enqueues until it is killed, or the file is there, and writes down what was accepted.
_ENQUEUER = """
import os, sys, time
from ipcmules import chain, group
from steering_app import add, alone, begin, place, total

accepted = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
number = int(sys.argv[2])
while not os.path.exists(sys.argv[3]):
    number += 1
    whole = chain(begin.s(number * 1000), group(add.s(more) for more in range(3)), total.s())
    os.write(accepted, f"{number * 3000 + 3} {whole.spool()}\\n".encode())
    place(number)
    alone(number % 3, number)
    time.sleep(0.02)
"""


class Chaos:
    """One run below a directory."""

    def __init__(self, top: Path, seed: int) -> None:
        self._random = random.Random(seed)
        self._top = top
        self._directory = top / "spool"
        self._runs = top / "runs"
        self._runs.touch()
        self._environment = {**os.environ, "RUNS": str(self._runs), "IPCMULES_BUS": BUS}
        (top / "steering_app.py").write_text(_APP)
        (top / "enqueuer.py").write_text(_ENQUEUER)
        self._log = (top / "log").open("ab")
        self._begun = 0
        self.killed: Counter[str] = Counter()

    def run(self, seconds: float) -> list[str]:
        """Mischief for so long, then the end in order; returns what is wrong."""
        options = ["--spooler-processes", "3", "--spooler-quiet", "--spooler-frequency", "2"]
        options += ["--import", "steering_app", "--spooler-nice", "0"]
        master = self._start("-m", "ipcmules", "run", "--spooler", str(self._directory), *options)
        enqueuer = None
        try:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                if enqueuer is None or enqueuer.poll() is not None:
                    enqueuer = self._enqueue()
                self._kill_one(enqueuer)
                time.sleep(self._random.uniform(0.02, 0.15))
            (self._top / "stop").touch()
            if enqueuer is not None:
                enqueuer.wait(60)
            return self._ledger()
        finally:
            for each in (enqueuer, master):
                if each is not None and each.poll() is None:
                    each.terminate()
                    each.wait(60)
            self._log.close()

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=self._top,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    def _enqueue(self) -> subprocess.Popen[bytes]:
        self._begun += 1
        first = self._begun * 10_000
        return self._start("enqueuer.py", str(self._top / "accepted"), str(first), str(self._top / "stop"))

    def _kill_one(self, enqueuer: subprocess.Popen[bytes]) -> None:
        if self._random.random() < 0.2:
            enqueuer.kill()
            enqueuer.wait()
            self.killed["enqueuer"] += 1
            return
        found = snapshot.take(places(BUS))
        pids = [each.pid for each in found.spoolers if each.pid]
        if found.state != "ready" or not pids:  # no start survives the death of a spooler
            return
        try:
            os.kill(self._random.choice(pids), signal.SIGKILL)
        except ProcessLookupError:
            return
        self.killed["spooler"] += 1

    def _files(self) -> list[str]:
        try:
            return os.listdir(self._directory)
        except FileNotFoundError:
            return []

    def _ledger(self) -> list[str]:
        wrong = []
        lines = (self._top / "accepted").read_text().splitlines() if (self._top / "accepted").exists() else []
        for line in lines:
            value, path = line.split()
            task = ipcmules.task(path)
            try:
                found: Any = task.result(_STALL)
            except ipcmules.TaskError as error:
                found = error
            except ipcmules.TaskTimeout as error:
                wrong.append(str(error))
                break  # the others of a bus that hangs would be waited for as long
            if found != int(value):
                wrong.append(f"{task.id} came to {found}, not to {value}")
        until = time.monotonic() + _STALL
        while left := [each for each in self._files() if each.startswith(names.TASK)]:
            if time.monotonic() > until:
                wrong.append(f"{len(left)} tasks are left: {left[:5]}")
                break
            time.sleep(0.05)
        runs = [json.loads(line) for line in self._runs.read_text().splitlines()]
        parts = Counter(tuple(what) for _when, _pid, kind, *what in runs if kind == "part")
        extra = sum(parts.values()) - len(parts)
        print(
            f"killed: {dict(self.killed)}; chains: {len(lines)}, parts: {len(parts)}, extra runs: {extra}, "
            f"with a place or key: {sum(kind == 'out' for _when, _pid, kind, *_what in runs)}"
        )
        if extra > self.killed["spooler"]:
            wrong.append(f"{extra} extra runs of parts, {self.killed['spooler']} spoolers were killed")
        for what, most in _at_once(runs).items():
            if most > (2 if what == "place" else 1):
                wrong.append(f"{most} tasks were at work with {what} at once")
        dead = self._directory / names.DEAD
        if dead.exists() and any(dead.iterdir()):
            wrong.append(f"dead are {[each.name for each in dead.iterdir()][:5]}")
        return wrong


def _at_once(runs: list[list[Any]]) -> dict[str, int]:
    """How many runs with a place or key went on at the same time, of those that came to their end."""
    begun: dict[tuple[int, str, int], float] = {}
    moments: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for when, pid, kind, *what in runs:
        if kind == "in":
            begun[pid, what[0], what[1]] = when
        elif kind == "out":
            moments[what[0]] += [(begun[pid, what[0], what[1]], 1), (when, -1)]
    most = {}
    for what, changes in moments.items():
        now = 0
        for _when, change in sorted(changes):
            now += change
            most[what] = max(most.get(what, 0), now)
    return most


def main() -> int:
    """The command line above."""
    parser = argparse.ArgumentParser(prog="chaos.steering", description="Chains, keys and places under fire.")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    print(f"chaos.steering: --seed {options.seed}", flush=True)
    top = Path(tempfile.mkdtemp(prefix="imc-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"))
    os.environ.update(IPCMULES_RUNTIME_DIR=str(top / "run"), IPCMULES_STATE_DIR=str(top / "state"))
    try:
        wrong = Chaos(top, options.seed).run(options.seconds)
        if wrong:
            print((top / "log").read_text(errors="replace")[-4000:])
    finally:
        shutil.rmtree(top, ignore_errors=True)
    for each in wrong:
        print(f"WRONG: {each}")
    print("The ledger balances." if not wrong else "The ledger does not balance.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
