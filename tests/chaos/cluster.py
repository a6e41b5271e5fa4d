"""`python -m chaos.cluster [--messages N] [--servers N] [--hosts N] [--seconds N] [--seed N]`: a cluster
under kills.

NATS servers that replicate, and buses that stand for hosts, each with directories of its own. Senders on
every host send numbered messages to one farm, each fifth by way of the outbox, each seventh to a mule of a
certain host, another seventh without waiting, and some that are large, raise signals and enqueue tasks, of
which some fail at first, and chains with a group in them, while servers, carriers, masters, mules, spoolers
and whole hosts are killed, and servers and carriers stopped for longer than the deadline. Then the ledger:
every message and task that was accepted is done; and how many came more than once, beside how many the kills
explain.
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
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import leftovers
from natsservers import Server, Servers

MULES = SPOOLERS = 2
DEADLINE = 3
WORKER = """
import os, ipcmules
out = os.open(os.environ["DONE"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
ipcmules.register_signal(17, "mule@any", lambda number: os.write(out, b"signal 0\\n"))
while True:
    message = ipcmules.mule_get_msg().split()[0]  # behind it is what makes it large
    os.write(out, b"%s %d\\n" % (message, ipcmules.redelivered()))
"""
JOBS = """
import os, ipcmules
from ipcmules.decorators import spool
@spool(pass_arguments=True, backoff=0.2, retries=1000)
def job(number):
    if number % 20 == 0 and ipcmules.current_task().attempt == 1:
        raise ValueError("at first")
    done(b"task-%d" % number)
@spool(pass_arguments=True, backoff=0.2, retries=1000)
def part(number, which):
    done(b"task-%d.%d" % (number, which))
def done(what):
    out = os.open(os.environ["DONE"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.write(out, b"%s %d\\n" % (what, ipcmules.current_task().attempt))
    os.close(out)
"""
SENDER = """
import os, sys, time, ipcmules, jobs
first, count = int(sys.argv[1]), int(sys.argv[2])
out = os.open(os.environ["SENT"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
for number in range(first, first + count):
    while True:
        message = b"%d" % number
        if number % 300 == 1:
            message += b" " * 2_000_000
        try:
            if number % 7 == 3:
                address = f"{1 + number // 7 % 2}@web{number % int(os.environ['HOSTS'])}"
                stored = ipcmules.mule_msg(message, address, 2)
            elif number % 7 == 4:
                stored = ipcmules.farm_msg("work", message, 2, wait=False) and ipcmules.flush(5)
            else:
                stored = ipcmules.farm_msg("work", message, 2, store_and_forward=number % 5 == 0)
        except (ValueError, OSError):
            stored = False
            time.sleep(0.1)
        os.write(out, b"%d %s\\n" % (number, b"accepted" if stored else b"unclear"))
        if stored:
            break
    while number % 2 == 0:
        try:
            jobs.job(number, spooler="jobs", priority=number % 3 or None)
            os.write(out, b"task-%d accepted\\n" % number)
            break
        except (ValueError, OSError):
            time.sleep(0.1)
    while number % 40 == 0:
        parts = [jobs.part.si(number, which) for which in range(4)]
        try:
            ipcmules.chain(parts[0], ipcmules.group(parts[1], parts[2]), parts[3]).spool(spooler="jobs")
            os.write(out, b"".join(b"task-%d.%d accepted\\n" % (number, which) for which in range(4)))
            break
        except (ValueError, OSError):
            time.sleep(0.1)
    while number % 10 == 0:
        try:
            ipcmules.signal(17)
            os.write(out, b"signal raised\\n")
            break
        except (ValueError, OSError):
            time.sleep(0.1)
"""


@dataclass
class Host:
    """One bus, and what sends on it."""

    directory: Path
    name: str
    urls: str
    hosts: int
    bus: subprocess.Popen[bytes] | None = None
    sender: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def prepare(self) -> None:
        self.directory.mkdir(mode=0o700)
        (self.directory / "worker.py").write_text(WORKER)
        (self.directory / "sender.py").write_text(SENDER)
        (self.directory / "jobs.py").write_text(JOBS)
        self.environment = {
            **os.environ,
            "IPCMULES_RUNTIME_DIR": str(self.directory / "run"),
            "IPCMULES_STATE_DIR": str(self.directory / "state"),
            "IPCMULES_BUS": self.name,
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            "DONE": str(self.directory / "done"),
            "SENT": str(self.directory / "sent"),
            "HOSTS": str(self.hosts),
        }

    def start(self, replicas: int) -> None:
        members = ",".join(map(str, range(1, MULES + 1)))
        self.bus = self._run(
            *(
                "-m",
                "ipcmules",
                "run",
                "--bus",
                self.name,
                *["--mule=worker.py"] * MULES,
                "--queue-share",
                "0.05",
            ),
            *("--import", "jobs.py", "--cluster-spooler", f"jobs:{SPOOLERS}", "--spooler-quiet"),
            *("--cluster", self.urls, "--host", self.name, "--cluster-farm", f"work:{members}"),
            *("--cluster-mules", members),
            *("--cluster-deadline", str(DEADLINE), "--cluster-max-deliveries", "1000"),
            *("--cluster-replicas", str(replicas), "--cluster-name", "chaos"),
        )

    def send(self, first: int, count: int) -> None:
        self.sender = self._run("sender.py", str(first), str(count))

    def _run(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def status(self) -> dict[str, Any] | None:
        done = subprocess.run(
            [sys.executable, "-m", "ipcmules", "status", "--cluster", "--json", "--bus", self.name],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return json.loads(done.stdout) if done.returncode == 0 else None

    def processes(self, *kinds: str) -> list[psutil.Process]:
        """Children of the master by their titles."""
        if self.bus is None:
            return []
        found = []
        try:
            for each in psutil.Process(self.bus.pid).children(recursive=True):
                title = " ".join(each.cmdline())
                if any(title.startswith(f"ipcmules: {self.name} {kind}") for kind in kinds):
                    found.append(each)
        except psutil.NoSuchProcess:
            pass
        return found

    def lines(self, name: str) -> list[list[str]]:
        path = self.directory / name
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


class Chaos:
    """Kills, and what each of them may have doubled."""

    def __init__(self, hosts: list[Host], servers: list[Server], random: random.Random) -> None:
        self._hosts = hosts
        self._servers = servers
        self._random = random
        self._replicas = len(servers)
        #: How often what was done to whom.
        self.count: Counter[str] = Counter()
        #: So many messages were in hand where somebody was killed, at most.
        self.in_hand = 0

    def once(self) -> None:
        choices: list[Callable[[], bool]] = [
            *(self._kill_mule, self._kill_mule, self._kill_carrier, self._kill_carrier),
            *(self._kill_spooler, self._kill_spooler),
            *(self._stop_carrier, self._kill_master, self._kill_host, self._kill_server, self._stop_server),
        ]
        what = self._random.choice(choices)
        if what():
            self.count[what.__name__[1:].replace("_", " ")] += 1

    def revive(self) -> None:
        """Start a bus again that could not start: there were too many queues in the kernel, perhaps."""
        for host in self._hosts:
            if host.bus is not None and host.bus.poll() is not None:
                host.start(self._replicas)

    def _one(self, *kinds: str) -> psutil.Process | None:
        found = self._random.choice(self._hosts).processes(*kinds)
        return self._random.choice(found) if found else None

    def _send(self, signum: int, *kinds: str) -> psutil.Process | None:
        one = self._one(*kinds)
        try:
            if one is not None:
                one.send_signal(signum)
        except psutil.NoSuchProcess:
            return None
        return one

    def _kill_mule(self) -> bool:
        killed = self._send(signal.SIGKILL, "mule") is not None
        self.in_hand += killed
        return killed

    def _kill_spooler(self) -> bool:
        killed = self._send(signal.SIGKILL, "spooler") is not None
        self.in_hand += killed
        return killed

    def _kill_carrier(self) -> bool:
        killed = self._send(signal.SIGKILL, "carrier") is not None
        self.in_hand += killed * (1 + SPOOLERS)  # what it was just putting into a queue, or a directory
        return killed

    def _stop_carrier(self) -> bool:
        """For longer than the deadline: others get what it has in hand, as if the host were cut off."""
        stopped = self._send(signal.SIGSTOP, "carrier")
        if stopped is None:
            return False
        time.sleep(DEADLINE + 1)
        try:
            stopped.send_signal(signal.SIGCONT)
        except psutil.NoSuchProcess:
            pass
        self.in_hand += MULES + SPOOLERS
        return True

    def _kill_master(self) -> bool:
        host = self._random.choice(self._hosts)
        if host.bus is None or host.bus.poll() is not None:
            return False
        host.bus.kill()
        host.bus.wait()
        host.start(self._replicas)
        self.in_hand += MULES + SPOOLERS
        return True

    def _kill_host(self) -> bool:
        host = self._random.choice(self._hosts)
        if host.bus is None or host.bus.poll() is not None:
            return False
        everybody = [psutil.Process(host.bus.pid), *psutil.Process(host.bus.pid).children(recursive=True)]
        for each in everybody:
            try:
                each.kill()
            except psutil.NoSuchProcess:
                pass
        host.bus.wait()
        self.in_hand += MULES + SPOOLERS
        time.sleep(self._random.uniform(0, 1))
        host.start(self._replicas)
        return True

    def _kill_server(self) -> bool:
        server = self._random.choice(self._servers)
        server.kill()
        time.sleep(self._random.uniform(0, 2))
        server.start()
        self.in_hand += (MULES + SPOOLERS) * len(self._hosts)
        return True

    def _stop_server(self) -> bool:
        """As if its network were cut."""
        server = self._random.choice(self._servers)
        server.send(signal.SIGSTOP)
        time.sleep(DEADLINE + 1)
        server.send(signal.SIGCONT)
        self.in_hand += (MULES + SPOOLERS) * len(self._hosts)
        return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos.cluster")
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--hosts", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3600, help="no kills after that")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="im-", dir="/tmp"))
    with Servers(directory, arguments.servers) as servers:
        hosts = [
            Host(directory / f"web{number}", f"web{number}", servers.urls, arguments.hosts)
            for number in range(arguments.hosts)
        ]
        try:
            return _run(arguments, hosts, servers.all)
        finally:
            for host in hosts:
                for process in (host.sender, host.bus):
                    if process is not None and process.poll() is None:
                        process.terminate()
                        process.wait(90)
                leftovers.end_processes(host.directory / "run", grace=3.0)
                leftovers.remove_objects(host.directory / "run", directory / "seen")
            if "--keep" not in sys.argv:
                shutil.rmtree(directory, ignore_errors=True)


def _run(arguments: argparse.Namespace, hosts: list[Host], servers: list[Server]) -> int:
    chaos = Chaos(hosts, servers, random.Random(arguments.seed))
    share = arguments.messages // len(hosts)
    for number, host in enumerate(hosts):
        host.prepare()
        host.start(len(servers))
        host.send(number * share, share)
    _wait(lambda: all(host.lines("sent") for host in hosts), 60, "senders that send")
    until = time.monotonic() + arguments.seconds
    while time.monotonic() < until and any(_sends(host) for host in hosts):
        chaos.once()
        time.sleep(0.5)
        chaos.revive()

    def through() -> bool:
        chaos.revive()
        return not any(_sends(host) for host in hosts)

    _wait(through, 3600, "senders that are through")
    _wait(lambda: _is_empty(hosts), 600, "a cluster without messages")
    return _ledger(hosts, chaos)


def _sends(host: Host) -> bool:
    return host.sender is not None and host.sender.poll() is None


def _wait(condition: Callable[[], bool], seconds: float, what: str) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            print(f"no {what} after {seconds} s", flush=True)
            return
        time.sleep(0.2)


def _is_empty(hosts: list[Host]) -> bool:
    for host in hosts:
        said = host.status()
        outbox = [*(host.directory / "state").glob("*/outbox-*/*.out")]
        outbox += (host.directory / "state").glob("*/tasks-*/jobs/out/uwsgi_*")
        if said is None or outbox:
            return False
        cluster: dict[str, Any] = said["cluster"]
        if cluster["spoolers"]["jobs"]["stored"] or cluster["farms"]["work"]["stored"]:
            return False
        if cluster["mules"] or any(cluster["signals"].values()):
            return False
    return True


def _ledger(hosts: list[Host], chaos: Chaos) -> int:
    sent = [line for host in hosts for line in host.lines("sent")]
    raised = sent.count(["signal", "raised"])
    accepted = {number for number, how in sent if how == "accepted" and not number.startswith("task-")}
    tasks = {number for number, how in sent if how == "accepted" and number.startswith("task-")}
    unclear = Counter(number for number, how in sent if how == "unclear")
    done = Counter(line[0] for host in hosts for line in host.lines("done"))
    handled = done.pop("signal", 0)
    ran = Counter({number: done.pop(number) for number in list(done) if number.startswith("task-")})
    missing = [*sorted(accepted - set(done), key=int), *sorted(tasks - set(ran))]
    again = sum(count - 1 for number, count in done.items() if number not in unclear)
    twice = sum(count - 1 for count in ran.values())
    print("kills and stops: " + ", ".join(f"{count} x {what}" for what, count in sorted(chaos.count.items())))
    print(
        f"{len(accepted)} messages accepted, {len(set(done) & accepted)} done; "
        f"{len(missing)} messages and tasks missing"
    )
    print(f"{sum(unclear.values())} sends without an answer, which were made again")
    print(f"{again} messages of the others done once more; the kills explain up to {chaos.in_hand}")
    print(
        f"{len(tasks)} tasks accepted, {len(set(ran) & tasks)} done, {twice} times once more; "
        f"the kills explain up to {chaos.in_hand}"
    )
    print(f"{raised} signals raised, {handled} handled; the kills explain up to {chaos.in_hand} more or less")
    if missing:
        print("missing: " + ", ".join(missing[:20]))
    balances = not missing and max(again, twice) <= chaos.in_hand and abs(raised - handled) <= chaos.in_hand
    print("The ledger balances." if balances else "THE LEDGER DOES NOT BALANCE.")
    return 0 if balances else 1


if __name__ == "__main__":
    sys.exit(main())
