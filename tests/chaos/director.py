"""One bus and its senders under fire: chooses the mischief, and notes every kill for the ledger."""

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

from chaos import looking, records
from chaos.exhausting import Exhausting
from chaos.killing import Killing
from chaos.looking import BUS
from chaos.removing import Removing
from ipcmules.kernel.processes import ProcessId

#: What there is to do, with weights.
Deeds = list[tuple[int, Callable[[], None]]]

TESTS = Path(__file__).resolve().parent.parent
#: Seconds a stop may take to drain: ten thousand messages of busy hooks may wait then.
#: No stopped process stays stopped for as long, so the mercy is never over.
MERCY = 120.0
#: A line of the log where the system refused something that a start needs, in words.
_REFUSED = ("ipcmules: error:", "RLIMIT_", "No space left", "Too many open files")


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
        self,
        directory: Path,
        kinds: list[str],
        seconds: float,
        seed: int,
        senders: list[Counter[str]],
        log: IO[bytes],
        fills: bool,
    ) -> None:
        self.random = random.Random(seed)
        self._seed = seed
        self._records = directory / "records"
        self._records.mkdir()
        self._log = log
        self._seconds = seconds
        self._senders = [Sender(number, work) for number, work in enumerate(senders, 1)]
        self._environment = {
            **os.environ,
            records.VARIABLE: str(self._records),
            records.KINDS: ",".join(kinds),
            "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]),
        }
        self._environment.pop("IPCMULES_BUS", None)
        self._master: subprocess.Popen[bytes] | None = None
        self._hit_at_start = False
        self._started = 0.0
        self._refusals = 0
        #: Who is stopped, and until when.
        self.stopped: list[tuple[float, ProcessId]] = []
        #: Seconds a graceful stop may take.
        self.patience = MERCY + 15
        self._kinds = kinds
        self._exhausting = Exhausting(self, directory.parent / "state", fills)
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
        self.start_master()
        for each in self._senders:  # they join and raise before the app is loaded
            self._start_sender(each)
        self.wait_ready()
        began = time.monotonic()
        deeds = self._choices()
        while time.monotonic() - began < self._seconds:
            self._tick()
            self.random.choices([deed for _, deed in deeds], [weight for weight, _ in deeds])[0]()
            self.sleep(self.random.uniform(0.02, 0.25))
        self._make_peace()

    def _choices(self) -> Deeds:
        """What to do; interruptions and forks are done by the processes themselves, all the time."""
        by_kind: dict[str, Deeds] = {
            "kill": Killing(self).deeds(),
            "exhaust": self._exhausting.deeds(),
            "remove": Removing(self).deeds(),
        }
        return [each for kind in self._kinds for each in by_kind.get(kind, [])] or [(1, lambda: None)]

    def _tick(self) -> None:
        """Continue who was stopped for long enough, and start again what has ended."""
        now = time.monotonic()
        due = [process for until, process in self.stopped if until <= now]
        self.stopped = [each for each in self.stopped if each[0] > now]
        for process in due:
            looking.send(process, signal.SIGCONT)
        self._exhausting.tick()
        if self._master is not None and self._master.poll() is not None:
            if not self.may_fail_to_start():
                self.problems.append(f"the master ended by itself with {self._master.returncode}")
            self.start_master()
        for each in self._senders:
            self._look_after(each)

    def may_fail_to_start(self) -> bool:
        """True if what ended was a start, and there is a reason; that is counted."""
        if self._hit_at_start:
            self.deeds["starts that failed by a kill"] += 1  # what ends before readiness fails the start
        elif self._found_no_room():
            self.deeds["starts that found no room for queues"] += 1
        elif self._was_refused():
            self.deeds["starts refused in words"] += 1
        else:
            return False
        return True

    def _was_refused(self) -> bool:
        """True if something was exhausted since the last start, and its error says what."""
        if self._exhausting.last < self._started - 2:
            return False
        text = Path(self._log.name).read_text(errors="replace")[-3000:]
        return any(each in text for each in _REFUSED)

    def running_senders(self) -> list[Sender]:
        """Those whose process runs."""
        return [each for each in self._senders if each.process is not None and each.process.poll() is None]

    def has_begun(self, sender: Sender) -> bool:
        """True once its process has used the bus, and so has all modules and files that it needs for that."""
        path = self._records / f"sent.{sender.name}"
        return path.exists() and path.stat().st_size > 0

    def continue_all(self) -> None:
        """Nobody stays stopped."""
        for _, process in self.stopped:
            looking.send(process, signal.SIGCONT)
        self.stopped.clear()

    def killed(self, role: str, pid: int, ready: bool) -> None:
        """Note a kill. ready: whether the bus was."""
        self._hit_at_start |= role in ("mule", "template") and not ready
        self.kills[role] += 1
        self.killed_pids.add(pid)

    def _found_no_room(self) -> bool:
        """True if the master ended because other buses of this user have all of RLIMIT_MSGQUEUE meanwhile."""
        count = Path(self._log.name).read_bytes().count(b"RLIMIT_MSGQUEUE allows this user")
        before, self._refusals = self._refusals, count
        return count > before

    def sleep(self, seconds: float) -> None:
        """Look after everybody for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._tick()
            time.sleep(0.02)

    def _make_peace(self) -> None:
        self.continue_all()
        self._exhausting.end()
        self.wait_ready()
        self.until(
            lambda: not any(each.process for each in self._senders), 60, "the senders' end", self._written
        )
        self.until(self._is_quiet, 60, "quiet")
        assert self._master is not None
        self._master.send_signal(signal.SIGTERM)
        try:
            code = self._master.wait(self.patience)
        except subprocess.TimeoutExpired:
            self.problems.append("the master did not stop at the end")
            self._master.kill()
            self._master.wait()
        else:
            if code:
                self.problems.append(f"the master ended with {code}")
        self._master = None

    def until(
        self,
        condition: Callable[[], bool],
        seconds: float,
        what: str,
        progress: Callable[[], int] = lambda: 0,
    ) -> None:
        """Look after everybody until something is so; a problem if it does not come within seconds.

        progress: the time counts from when it changed last.
        """
        deadline, before = time.monotonic() + seconds, progress()
        while not condition():
            if before != progress():
                deadline, before = time.monotonic() + seconds, progress()
            if time.monotonic() > deadline:
                self.problems.append(f"{what} did not come within {seconds:g} s")
                return
            self._tick()
            time.sleep(0.05)

    def _written(self) -> int:
        return sum(path.stat().st_size for path in self._records.iterdir())

    def _is_quiet(self) -> bool:
        path = self._records / "handled"
        before = path.stat().st_size if path.exists() else 0
        time.sleep(1.0)
        return path.exists() and path.stat().st_size == before

    def give_up(self) -> None:
        """End what is left, after an error of this program's."""
        self.continue_all()
        self._exhausting.end()
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

    def start_master(self) -> None:
        """Start the bus, or the next one."""
        self._hit_at_start = False
        self._started = time.monotonic()
        arguments = ["--bus", BUS, "--import", "chaos.app", "--locks", str(records.LOCKS - 1)]
        arguments += ["--mule=chaos.app:program"] * 2 + ["--mules", str(records.MULES - 2)]
        for route, numbers in records.FARMS.items():
            arguments += ["--farm", f"{route.removeprefix('farm.')}:{','.join(map(str, numbers))}"]
        arguments += ["--mule-reload-mercy", f"{MERCY:g}", "--queue-share", "0.2", "--on-hook-error", "keep"]
        self._master = subprocess.Popen(
            [sys.executable, "-m", "ipcmules", "run", *arguments],
            cwd=TESTS,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    @property
    def master(self) -> subprocess.Popen[bytes]:
        """The one that was started last."""
        assert self._master is not None
        return self._master

    def is_ready(self) -> bool:
        """True if the bus is, with the master that was started last."""
        return looking.is_ready(self.master.pid)

    def wait_ready(self) -> None:
        """Wait until it is."""
        self.until(self.is_ready, MERCY + 30, "readiness")
