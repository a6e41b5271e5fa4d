"""Spoolers under fire: tasks flow while spoolers, enqueuers and the master are killed; then the ledger.

    cd tests && python -m chaos.spooling [--tasks 100000] [--kills 300] [--together 4] [--buses 2] [--seed N]

Every task that was accepted must run, with at most one extra run for each task that a killed spooler may have
had in hand (--together: coroutines, so many at once); afterwards nothing may be left in the directory, in
dead/ and of the bus. With --buses 2 another bus works on the same directory. Exit code 1 if that is not so,
or if it hangs.
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
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ipcmules import snapshot
from ipcmules.bus import liveness
from ipcmules.bus.places import places
from ipcmules.master.objects import inventory
from ipcmules.spooler import names

BUS = "chaos-spool"
SPOOLERS, ENQUEUERS = 3, 3
#: When nothing was accepted, run or killed for so long it hangs, seconds. A task whose spooler was killed
#: five times in a row waits for half of it.
_STALL = 60.0

_APP = """
import asyncio, os
import ipcmules
from ipcmules.spooler import claim
claim.YOUTH = 5.0  # what a writer leaves that was killed between its open and its write goes soon
runs = os.open(os.environ["RUNS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def run(env):
    os.write(runs, env[b"id"] + b"\\n")
    return ipcmules.SPOOL_OK
async def wait_and_run(env):
    await asyncio.sleep(0.001)
    return run(env)
ipcmules.set_spooler(wait_and_run if "TOGETHER" in os.environ else run)
"""

#: Enqueues first..last and writes down each number that was accepted; on the bus where there is one.
_ENQUEUER = """
import os, sys, time
import ipcmules
directory, accepted, first, last = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
log = os.open(accepted, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
for number in range(first, last):
    while True:
        try:
            ipcmules.spool(id=number, spooler=directory)
            break
        except (ValueError, OSError):  # the bus is being started again
            time.sleep(0.01)
    os.write(log, b"%d\\n" % number)
    if not number % 50:
        time.sleep(0.02)  # so that tasks flow for as long as there are kills
"""


class Chaos:
    """One run."""

    def __init__(
        self, top: Path, tasks: int, kills: int, seed: int, together: int = 1, buses: int = 1
    ) -> None:
        self._together = together
        self._buses = [BUS, f"{BUS}-beside"][:buses]
        self._random = random.Random(seed)
        self._tasks, self._kills = tasks, kills
        self._top = top
        self._directory = top / "spool"
        self._runs = top / "runs"
        self._directory.mkdir(mode=0o700)
        self._runs.touch()
        (top / "chaos_app.py").write_text(_APP)
        (top / "enqueuer.py").write_text(_ENQUEUER)
        self._log = (top / "log").open("ab")
        self._environment = {**os.environ, "RUNS": str(self._runs)}
        if together > 1:
            self._environment["TOGETHER"] = "1"
        self._shares = [tasks * each // ENQUEUERS for each in range(ENQUEUERS + 1)]
        self._enqueuers: list[subprocess.Popen[bytes] | None] = [None] * ENQUEUERS
        self._beside: list[subprocess.Popen[bytes]] = []
        self._progress: tuple[int, ...] = ()
        self._since = 0.0
        self.killed: Counter[str] = Counter()
        #: What was to be seen of the bus when it hung, '' if it did not.
        self.hung = ""

    def run(self) -> None:
        """Mischief until every task has been accepted and every kill was done, then the end in order."""
        self._start_master()
        self._beside = [self._bus(bus) for bus in self._buses[1:]]
        # Before that nothing but enqueuers could be killed, and on a busy machine all kills would be used up.
        while not self._is_ready() and self._goes_on():
            self._keep_master()
            time.sleep(0.01)
        while (sum(self.killed.values()) < self._kills or self._more()) and self._goes_on():
            self._keep_going()
            if sum(self.killed.values()) < self._kills:
                self._kill_one()
            time.sleep(self._random.uniform(0.01, 0.1))
        # The last kill may end the bus a while later: a start fails where a spooler dies before it is ready.
        while (self._left() or not self._is_ready()) and self._goes_on():
            self._keep_master()
            time.sleep(0.1)
        for each in (self._master, *self._beside):
            each.terminate()
            each.wait(60)

    @staticmethod
    def _is_swept(path: Path) -> bool:
        """True for attempts of a task that is gone: a look removes them when they are a minute old.

        A spooler counts the death of another that had the task in hand, while a third one finishes it.
        """
        return path.name.startswith(names.ATTEMPTS) and not (path.parent / names.task_of(path.name)).exists()

    def ledger(self) -> list[str]:
        """What is wrong; prints the counts."""
        ran = Counter(self._runs.read_text().split())
        accepted = {each for share in range(ENQUEUERS) for each in self._accepted(share)}
        missing = accepted - set(ran)
        extra = sum(ran.values()) - len(ran)
        left = [path for path in self._directory.rglob("*") if path.is_file() and not self._is_swept(path)]
        runs = sum(ran.values())
        print(f"killed: {dict(self.killed)}; tasks: {len(accepted)}, ran: {runs}, extra: {extra}")
        wrong = [f"it hung: {self.hung}"] if self.hung else []
        if len(accepted) != self._tasks:
            wrong.append(f"{len(accepted)} of {self._tasks} tasks were accepted")
        if missing:
            wrong.append(f"{len(missing)} tasks never ran: {sorted(missing)[:10]}")
        if extra > self.killed["spooler"] * self._together:
            wrong.append(f"{extra} extra runs, {self.killed['spooler']} spoolers were killed")
        if left:
            wrong.append(f"{len(left)} files are left: {[path.name for path in left[:10]]}")
        return wrong

    def close(self) -> None:
        """End whatever still runs."""
        for each in (*self._enqueuers, self._master, *self._beside):
            if each is not None and each.poll() is None:
                each.terminate()
                each.wait(30)
        self._log.close()

    def _start_master(self) -> None:
        self._master = self._bus(BUS)

    def _bus(self, bus: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "ipcmules", "run", "--bus", bus, "--spooler", str(self._directory)]
        options = ["--spooler-processes", str(SPOOLERS), "--spooler-quiet", "--spooler-frequency", "2"]
        options += ["--spooler-async", str(self._together)]
        return subprocess.Popen(
            [*command, *options, "--import", "chaos_app.py"],
            cwd=self._top,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    def _accepted(self, share: int) -> list[str]:
        path = self._top / f"accepted{share}"
        return path.read_text().split() if path.exists() else []

    def _more(self) -> bool:
        return any(each is None or each.poll() != 0 for each in self._enqueuers)

    def _is_ready(self) -> bool:
        found = snapshot.take(places(BUS))
        # While a master takes over, what is found is still that of the killed one.
        return bool(found.state == "ready" and found.master.pid == self._master.pid)

    def _goes_on(self) -> bool:
        """False once nothing has happened for too long; what is to be seen then is kept."""
        logs = (self._runs, *(self._top / f"accepted{share}" for share in range(ENQUEUERS)))
        sizes = (path.stat().st_size for path in logs if path.exists())
        progress, now = (sum(self.killed.values()), *sizes), time.monotonic()
        if progress != self._progress:
            self._progress, self._since = progress, now
        elif now - self._since > _STALL and not self.hung:
            self.hung = json.dumps(snapshot.take(places(BUS)).to_json())
        return not self.hung

    def _keep_master(self) -> None:
        if self._master.poll() is not None:
            self._start_master()

    def _keep_going(self) -> None:
        """What was killed is started again; an enqueuer goes on behind what it had written down."""
        self._keep_master()
        for share, process in enumerate(self._enqueuers):
            if process is not None and process.poll() in (None, 0):
                continue
            done = self._accepted(share)
            first = int(done[-1]) + 1 if done else self._shares[share]
            accepted, last = self._top / f"accepted{share}", self._shares[share + 1]
            arguments = (self._directory, accepted, first, last)
            self._enqueuers[share] = subprocess.Popen(
                [sys.executable, "enqueuer.py", *map(str, arguments)],
                cwd=self._top,
                env={**self._environment, "IPCMULES_BUS": BUS} if share else self._environment,
                stdin=subprocess.DEVNULL,
                stderr=self._log,
            )

    def _kill_one(self) -> None:
        what = self._random.choices(("spooler", "enqueuer", "master"), (12, 4, 1))[0]
        if what == "master":
            if snapshot.take(places(BUS)).state != "ready":
                return
            self._kill(what, self._master.pid)
            self._master.wait()
        elif what == "enqueuer":
            running = [each for each in self._enqueuers if each is not None and each.poll() is None]
            if running:
                victim = self._random.choice(running)
                self._kill(what, victim.pid)
                victim.wait()
        else:
            spoolers = [each for bus in self._buses for each in snapshot.take(places(bus)).spoolers]
            pids = [each.pid for each in spoolers if each.pid]
            if pids:
                self._kill(what, self._random.choice(pids))

    def _kill(self, what: str, pid: int) -> None:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.killed[what] += 1

    def _left(self) -> bool:
        return any(each.startswith(names.TASK) for each in os.listdir(self._directory))


def main() -> int:
    """The command line above."""
    parser = argparse.ArgumentParser(prog="chaos.spooling", description="Spoolers under fire.")
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--together", type=int, default=1, help="coroutines at once in a spooler")
    parser.add_argument("--buses", type=int, default=1, choices=(1, 2), help="on the one directory")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    print(f"chaos.spooling: --seed {options.seed}", flush=True)
    top = Path(tempfile.mkdtemp(prefix="imc-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"))
    os.environ.update(IPCMULES_RUNTIME_DIR=str(top / "run"), IPCMULES_STATE_DIR=str(top / "state"))
    os.environ.pop("IPCMULES_BUS", None)
    chaos = Chaos(top, options.tasks, options.kills, options.seed, options.together, options.buses)
    try:
        chaos.run()
        wrong = chaos.ledger()
        if liveness.is_alive(places(BUS)):
            wrong.append("the bus did not end")
        wrong += [f"left of the bus: {each}" for each in inventory.of(places(BUS), ["spool.1"])]
    finally:
        chaos.close()
        if "wrong" in locals() and wrong:
            print((top / "log").read_text(errors="replace")[-4000:])
        shutil.rmtree(top, ignore_errors=True)
    for each in wrong:
        print(f"WRONG: {each}")
    print("The ledger balances." if not wrong else "The ledger does not balance.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
