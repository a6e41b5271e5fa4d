"""Whoever starts, kills, stops, continues, reloads and restarts; and notes every kill for the ledger.

Pids are held by pidfd and checked against start times, so that nobody else's process is ever hit.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import posix_ipc

from chaos import records
from ipcmules import description, table
from ipcmules.errors import AccessError
from ipcmules.places import places
from ipcmules.processes import ProcessId, start_time

BUS = "chaos"
TESTS = Path(__file__).resolve().parent.parent
#: Seconds a stop may take to drain. No stopped process stays stopped for as long, so the mercy is never over.
MERCY = 30.0
#: Longest SIGSTOP, seconds.
_STOPPED = 0.4


@dataclass
class Sender:
    """A sender's slot: one incarnation after the other does what is left of its work."""

    slot: int
    work: Counter[str]
    incarnation: int = 0
    process: subprocess.Popen[bytes] | None = None
    killed: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        return f"{self.slot}.{self.incarnation}"


class Director:
    """One bus and its senders, from the first start to the last end."""

    def __init__(
        self, directory: Path, seconds: float, seed: int, senders: list[Counter[str]], log: IO[bytes]
    ) -> None:
        self._random = random.Random(seed)
        self._seed = seed
        self._records = directory / "records"
        self._records.mkdir()
        self._log = log
        self._seconds = seconds
        self._senders = [Sender(number, work) for number, work in enumerate(senders, 1)]
        self._environment = {
            **os.environ,
            records.VARIABLE: str(self._records),
            "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]),
        }
        self._environment.pop("IPCMULES_BUS", None)
        self._master: subprocess.Popen[bytes] | None = None
        self._hit_at_start = False
        self._refusals = 0
        self._stopped: list[tuple[float, ProcessId]] = []
        #: Kills by role, and mules' kills by number.
        self.kills: Counter[str] = Counter()
        self.mule_kills: Counter[int] = Counter()
        self.killed_pids: set[int] = set()
        self.deeds: Counter[str] = Counter()
        self.problems: list[str] = []

    @property
    def killed_senders(self) -> set[str]:
        return {name for each in self._senders for name in each.killed}

    @property
    def directory(self) -> Path:
        return self._records

    # The course

    def run(self) -> None:
        """Mischief while the work lasts, then peace until it is done, then a graceful stop."""
        self._start_master()
        for each in self._senders:  # they join and raise before the app is loaded
            self._start_sender(each)
        self._wait_ready()
        began = time.monotonic()
        while time.monotonic() - began < self._seconds:
            self._tick()
            self._mischief()
            self._sleep(self._random.uniform(0.02, 0.6))
        self._make_peace()

    def _mischief(self) -> None:
        deeds: list[tuple[int, Callable[[], None]]] = [
            (7, self._kill_mule),
            (3, self._kill_sender),
            (3, self._kill_template),
            (3, self._kill_master),
            (2, self._restart_master),
            (3, self._reload),
            (6, self._stop_somebody),
        ]
        self._random.choices([deed for _, deed in deeds], [weight for weight, _ in deeds])[0]()

    def _tick(self) -> None:
        """Continue who was stopped for long enough, and start again what has ended."""
        now = time.monotonic()
        due = [process for until, process in self._stopped if until <= now]
        self._stopped = [each for each in self._stopped if each[0] > now]
        for process in due:
            _send(process, signal.SIGCONT)
        if self._master is not None and self._master.poll() is not None:
            if self._hit_at_start:
                self.deeds["starts that failed by a kill"] += 1  # what ends before readiness fails the start
            elif self._found_no_room():
                self.deeds["starts that found no room for queues"] += 1
            else:
                self.problems.append(f"the master ended by itself with {self._master.returncode}")
            self._start_master()
        for each in self._senders:
            self._look_after(each)

    def _found_no_room(self) -> bool:
        """True if the master ended because other buses of this user have all of RLIMIT_MSGQUEUE meanwhile."""
        count = Path(self._log.name).read_bytes().count(b"RLIMIT_MSGQUEUE allows this user")
        before, self._refusals = self._refusals, count
        return count > before

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._tick()
            time.sleep(0.02)

    def _make_peace(self) -> None:
        for _, process in self._stopped:
            _send(process, signal.SIGCONT)
        self._stopped.clear()
        self._wait_ready()
        self._until(
            lambda: not any(each.process for each in self._senders), 60 + self._seconds, "the senders' end"
        )
        self._until(self._is_quiet, 60, "quiet")
        assert self._master is not None
        self._master.send_signal(signal.SIGTERM)
        try:
            code = self._master.wait(MERCY + 15)
        except subprocess.TimeoutExpired:
            self.problems.append("the master did not stop at the end")
            self._master.kill()
            self._master.wait()
        else:
            if code:
                self.problems.append(f"the master ended with {code}")
        self._master = None

    def _until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                self.problems.append(f"{what} did not come within {seconds:g} s")
                return
            self._tick()
            time.sleep(0.05)

    def _is_quiet(self) -> bool:
        path = self._records / "handled"
        before = path.stat().st_size if path.exists() else 0
        time.sleep(1.0)
        return path.exists() and path.stat().st_size == before

    def give_up(self) -> None:
        """End what is left, after an error of this program's."""
        for _, process in self._stopped:
            _send(process, signal.SIGCONT)
        left = [self._master, *(each.process for each in self._senders)]
        for process in left:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()

    # Senders

    def _start_sender(self, sender: Sender) -> None:
        sender.incarnation += 1
        work = sender.work
        arguments = [sender.name, BUS, *(str(work[each]) for each in ("message", "signal", "section"))]
        arguments += [str(self._seconds * 0.9), f"{self._seed}/{sender.name}"]
        sender.process = subprocess.Popen(
            [sys.executable, "-m", "chaos.sender", *arguments],
            cwd=TESTS,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    def _look_after(self, sender: Sender) -> None:
        if sender.process is None or sender.process.poll() is None:
            return
        code = sender.process.returncode
        killed = sender.name in sender.killed
        sender.process = None
        if code and not killed:
            self.problems.append(f"sender {sender.name} ended with {code}")
        if code:
            self._subtract_done(sender)
            if sender.incarnation < 200:
                self._start_sender(sender)

    def _subtract_done(self, sender: Sender) -> None:
        path = self._records / f"sent.{sender.name}"
        words: Counter[str] = (
            Counter(line.split(" ", 1)[0] for line in path.read_text().splitlines())
            if path.exists()
            else Counter()
        )
        for what, done in (("message", words["a"]), ("signal", words["A"]), ("section", words["L"])):
            sender.work[what] = max(0, sender.work[what] - done)

    # The bus

    def _start_master(self) -> None:
        self._hit_at_start = False
        arguments = ["--bus", BUS, "--import", "chaos.app", "--locks", str(records.LOCKS - 1)]
        arguments += ["--mule=chaos.app:program"] * 2 + ["--mules", str(records.MULES - 2)]
        for route, numbers in records.FARMS.items():
            arguments += ["--farm", f"{route.removeprefix('farm.')}:{','.join(map(str, numbers))}"]
        arguments += ["--mule-reload-mercy", f"{MERCY:g}", "--queue-share", "0.2"]
        self._master = subprocess.Popen(
            [sys.executable, "-m", "ipcmules", "run", *arguments],
            cwd=TESTS,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    def _table(self) -> table.Table | None:
        try:
            return table.open(places(BUS).table)
        except (posix_ipc.ExistentialError, AccessError, OSError, ValueError):
            return None

    def _is_ready(self) -> bool:
        shared = self._table()
        assert self._master is not None
        return (
            shared is not None
            and shared.cells[table.H_STATE] == table.READY
            and shared.cells[table.H_MASTER_PID] == self._master.pid
        )

    def _wait_ready(self) -> None:
        self._until(self._is_ready, MERCY + 30, "readiness")

    def _mules(self) -> list[tuple[int, ProcessId]]:
        shared = self._table()
        if shared is None:
            return []
        records_ = [(number, shared.mule(number)) for number in range(1, records.MULES + 1)]
        cells = shared.cells
        found = [
            (number, ProcessId(cells[at + table.R_PID], cells[at + table.R_START])) for number, at in records_
        ]
        return [(number, process) for number, process in found if process.alive()]

    def _template(self) -> ProcessId | None:
        assert self._master is not None
        try:
            children = Path(f"/proc/{self._master.pid}/task/{self._master.pid}/children").read_text().split()
        except OSError:
            return None
        for each in map(int, children):
            try:
                command = Path(f"/proc/{each}/cmdline").read_bytes()
            except OSError:
                continue
            if b"template" in command:
                return ProcessId(each, start_time(each))
        return None

    # Deeds

    def _kill_mule(self) -> None:
        mules = self._mules()
        if mules:
            number, process = self._random.choice(mules)
            if self._kill("mule", process):
                self.mule_kills[number] += 1

    def _kill_sender(self) -> None:
        running = [each for each in self._senders if each.process is not None and each.process.poll() is None]
        if running:
            sender = self._random.choice(running)
            assert sender.process is not None
            sender.killed.add(sender.name)
            self._kill("sender", _identity(sender.process))

    def _kill_template(self) -> None:
        template = self._template()
        if template is not None:
            self._kill("template", template)

    def _kill_master(self) -> None:
        """Once, or again while the successor takes over."""
        for _ in range(self._random.choice((1, 1, 2, 3))):
            assert self._master is not None
            self._kill("master", _identity(self._master))
            self._master.wait()
            self._start_master()
            self._sleep(self._random.uniform(0.0, 0.7))
        self._wait_ready()

    def _restart_master(self) -> None:
        assert self._master is not None
        self.deeds["restarts"] += 1
        for _, process in self._stopped:
            _send(process, signal.SIGCONT)
        # Before its handlers are there SIGTERM ends it as any program.
        expected = (0,) if self._is_ready() else (0, -signal.SIGTERM)
        self._master.send_signal(signal.SIGTERM)
        try:
            code = self._master.wait(MERCY + 15)
            if code not in expected and not self._hit_at_start and not self._found_no_room():
                self.problems.append(f"the master ended with {code} at SIGTERM")
        except subprocess.TimeoutExpired:
            self.problems.append("the master did not stop in time")
            self._kill("master", _identity(self._master))
            self._master.wait()
        time.sleep(self._random.uniform(0.0, 0.3))
        self._start_master()
        if self._random.random() < 0.5:
            self._wait_ready()

    def _reload(self) -> None:
        # SIGHUP ends a process that has no handler for it yet.
        if self._is_ready():
            assert self._master is not None
            self._master.send_signal(signal.SIGHUP)
            self.deeds["reloads"] += 1

    def _stop_somebody(self) -> None:
        assert self._master is not None
        candidates = [process for _, process in self._mules()]
        candidates += [_identity(each.process) for each in self._senders if each.process is not None]
        candidates += [_identity(self._master)]
        template = self._template()
        candidates += [template] if template is not None else []
        process = self._random.choice(candidates)
        if _send(process, signal.SIGSTOP):
            self.deeds["stops"] += 1
            self._stopped.append((time.monotonic() + self._random.uniform(0.01, _STOPPED), process))

    def _kill(self, role: str, process: ProcessId) -> bool:
        ready = self._is_ready()
        if not _send(process, signal.SIGKILL):
            return False
        self._hit_at_start |= role in ("mule", "template") and not ready
        self.kills[role] += 1
        self.killed_pids.add(process.pid)
        return True


def _identity(process: subprocess.Popen[bytes]) -> ProcessId:
    return ProcessId(process.pid, start_time(process.pid))


def _send(process: ProcessId, signum: int) -> bool:
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        if not process.alive():
            return False
        signal.pidfd_send_signal(descriptor, signum)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def queue_description() -> description.Description | None:
    """The bus's description while there is one."""
    return description.read(places(BUS))
