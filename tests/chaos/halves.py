"""`python -m chaos.halves [--points N] [--seed N]`: masters killed right before a system call, by strace.

For a start, a takeover, a stop and a reload of a real bus, and for a sender of a large message and of a task:
the calls are listed once, then the program is run again and again and killed at one of them (strace's
`-e inject=CALL:signal=SIGKILL:when=N`, which repeats exactly). After each the bus must start by itself, and
what had been accepted must be there: received, a dead letter, or within the documented window. A kill before
a call is a kill after the one before it, so all states that can be left are met.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import leftovers
from ipcmules.bus import table
from ipcmules.bus.places import places
from ipcmules.errors import IpcMulesError
from ipcmules.kernel import kill, processes
from ipcmules.kernel.processes import ProcessId
from ipcmules.member import membership
from ipcmules.messages import kept

BUS = "halves"
#: What can leave something half made. openat counts where it creates.
CALLS = (
    *("openat", "mkdir", "mknodat", "rename", "unlink", "unlinkat", "rmdir", "ftruncate"),
    *("fallocate", "fchmod", "link", "linkat", "symlink", "write", "pwrite64", "mq_open"),
    *("mq_unlink", "mq_timedsend", "mq_timedreceive", "semget", "semctl", "flock", "bind", "listen"),
    *("socketpair", "clone", "vfork", "fork", "kill", "pidfd_send_signal", "sendto", "utimensat"),
)
PROGRAM = """
import os
import ipcmules
from ipcmules.decorators import signal, spool

def see(line):
    file = os.open(os.environ["SEEN"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.write(file, line + b"\\n")
    os.close(file)

@signal(7, target="mule1")
def seven(signum):
    see(b"signal")

@spool(pass_arguments=True)
def task(text):
    see(text.encode())

def main():
    while True:
        see(ipcmules.mule_get_msg()[:40])
"""
SENDER = """
import sys
import ipcmules
sys.path.insert(0, ".")
ipcmules.attach("halves")
{call}
print("accepted", flush=True)
"""
SENDS = {
    "large send": "ipcmules.mule_msg(sys.argv[1].encode() + b' ' * 300_000, 1); ipcmules.flush()",
    "enqueue": "import program; program.task(sys.argv[1])",
}


@dataclass(frozen=True)
class Point:
    """Where to kill: before the when-th of these calls."""

    call: str
    when: int


class Sweep:
    """One bus, its directory, and what it was given."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.seen = directory / "seen"
        (directory / "program.py").write_text(PROGRAM)
        os.environ.update(
            IPCMULES_RUNTIME_DIR=str(directory / "run"),
            IPCMULES_STATE_DIR=str(directory / "state"),
            SEEN=str(self.seen),
        )
        self.master: subprocess.Popen[bytes] | None = None
        #: What the last one ended with, 0 if it was killed.
        self.code = 0
        self.number = 0
        self.sent: set[str] = set()
        self.raised = 0
        self.window = 0
        self.log = directory / "log"

    # Masters

    def start(self, wrapper: list[str]) -> None:
        """Start a master, by way of strace if so said."""
        arguments = ["--bus", BUS, "--mule=program:main", "--pythonpath", str(self.directory)]
        arguments += ["--import", "program", "--spooler", str(self.directory / "spool")]
        arguments += ["--mule-reload-mercy", "2", "--queue-share", "0.1"]
        with self.log.open("ab") as log:
            self.master = subprocess.Popen(
                [*wrapper, sys.executable, "-m", "ipcmules", "run", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
            )

    def ready(self) -> bool:
        """True when the bus is; False when its start was ended by the kill."""
        assert self.master is not None
        deadline = time.monotonic() + 60
        while self.master.poll() is None:
            if time.monotonic() > deadline:
                raise AssertionError("neither ready nor ended within 60 s")
            shared = self.table()
            if shared is not None and shared.cells[table.H_STATE] == table.READY:
                return True
            time.sleep(0.02)
        return False

    def table(self) -> table.Table | None:
        try:
            shared = table.open(places(BUS).table)
        except Exception:
            return None
        return shared if self.pid() == shared.cells[table.H_MASTER_PID] else None

    def pid(self) -> int:
        """The master's: strace stands before it."""
        assert self.master is not None
        path = Path(f"/proc/{self.master.pid}/task/{self.master.pid}/children")
        if b"strace" not in Path(f"/proc/{self.master.pid}/cmdline").read_bytes().split(b"\0")[0]:
            return self.master.pid
        children = path.read_text().split()
        return int(children[0]) if children else 0

    def tell(self, signum: int) -> None:
        pid = self.pid()
        kill.send(ProcessId(pid, processes.start_time(pid)), signum)

    def runs(self) -> bool:
        """True while the master does, or strace."""
        return self.master is not None and self.master.poll() is None

    def wait(self, seconds: float = 60) -> int:
        assert self.master is not None
        code = self.master.wait(seconds)
        self.code = 0 if code == -signal.SIGKILL else code
        return code

    # What it is given

    def give(self) -> None:
        """Messages, large ones too, and signals, to a mule that is stopped."""
        shared = self.table()
        assert shared is not None
        record = shared.mule(1)
        mule = ProcessId(shared.cells[record + table.R_PID], shared.cells[record + table.R_START])
        kill.send(mule, signal.SIGSTOP)
        import ipcmules

        membership.join(places(BUS), "attached")
        try:
            for target, size in ((1, 0), (0, 0), (1, 100_000), (0, 100_000), (1, 0)):
                self.number += 1
                name = f"m{self.number}."
                if ipcmules.mule_msg(name.encode().ljust(max(size, 1)), target, timeout=5):
                    self.sent.add(name)
            for _ in range(2):
                ipcmules.signal(7)
                self.raised += 1
        finally:
            membership.leave(for_good=True)
        self._mule = mule

    def kill_all(self) -> None:
        """The master, and the mule that is stopped."""
        self.tell(signal.SIGKILL)
        kill.send(self._mule, signal.SIGKILL)
        self.wait()

    def check(self, allowed: int) -> list[str]:
        """Faults: what was given and is nowhere, but for the window."""
        deadline = time.monotonic() + 20
        while True:
            lines = Counter(self.seen.read_text().split() if self.seen.exists() else [])
            letters = [kept.load(path) for path in kept.listing(places(BUS))]
            lines.update(each.data.split()[0].decode() for each in letters if not each.again)
            lost = sorted(self.sent - lines.keys())
            signals = self.raised - lines["signal"]
            if not lost and signals <= 0:
                return []
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        self.sent -= set(lost)
        self.raised -= signals
        self.window += len(lost) + signals
        return [] if len(lost) + signals <= allowed else [f"lost: {lost}, {signals} signals"]


def strace(*more: str, log: Path | None = None) -> list[str]:
    """The command that a program is run by."""
    return ["strace", "-qq", "-o", str(log or os.devnull), *more]


def injected(point: Point) -> list[str]:
    return strace("-e", f"trace={point.call}", "-e", f"inject={point.call}:signal=SIGKILL:when={point.when}")


def points(log: Path, begin: str, creates: tuple[str, ...] = ("openat",)) -> list[Point]:
    """The calls in a listing after the first line in which begin stands. creates: of which those that do."""
    counts: Counter[str] = Counter()
    found: list[Point] = []
    begun = False
    for line in log.read_text(errors="replace").splitlines():
        begun = begun or begin in line
        match = re.match(r"(?:\d+ +)?(\w+)\(", line)
        if match is None:
            continue
        counts[match[1]] += 1
        if begun and (match[1] not in creates or "_CREAT" in line):
            found.append(Point(match[1], counts[match[1]]))
    return found


def listing(sweep: Sweep) -> list[str]:
    return strace("-e", f"trace={','.join(f'?{each}' for each in CALLS)}", log=sweep.directory / "strace")


Scene = Callable[[Sweep, list[str]], None]


def scene_takeover(sweep: Sweep, wrapper: list[str]) -> None:
    """A start that finds what a killed master left; where nothing is left, a plain one."""
    sweep.give()
    sweep.kill_all()
    sweep.start(wrapper)
    if sweep.ready():
        sweep.tell(signal.SIGKILL)
    sweep.wait()


def scene_stop(sweep: Sweep, wrapper: list[str]) -> None:
    """A stop with messages that nobody takes."""
    sweep.tell(signal.SIGTERM)
    sweep.wait()
    sweep.start(wrapper)
    if sweep.ready():
        sweep.give()
        sweep.tell(signal.SIGTERM)
    sweep.wait()


def scene_reload(sweep: Sweep, wrapper: list[str]) -> None:
    sweep.tell(signal.SIGTERM)
    sweep.wait()
    sweep.start(wrapper)
    if sweep.ready():
        sweep.tell(signal.SIGHUP)
        shared = sweep.table()
        deadline = time.monotonic() + 20
        while (
            shared is not None
            and time.monotonic() < deadline
            and sweep.master
            and sweep.master.poll() is None
        ):
            if shared.cells[table.H_RELOADED]:
                break
            time.sleep(0.02)
        sweep.tell(signal.SIGKILL) if sweep.master and sweep.master.poll() is None else None
    sweep.wait()


MASTERS: dict[str, tuple[Scene, str]] = {
    "takeover": (scene_takeover, f"{BUS}.lock"),
    "stop": (scene_stop, "--- SIGTERM"),
    "reload": (scene_reload, "--- SIGHUP"),
}


def again(sweep: Sweep) -> None:
    """A start without strace: it must come up by itself."""
    sweep.start([])
    if not sweep.ready():
        raise AssertionError(f"the bus does not start again:\n{sweep.log.read_text()[-3000:]}")


def end(sweep: Sweep, signum: int = signal.SIGTERM) -> None:
    """End the master, if one runs."""
    if sweep.runs():
        sweep.tell(signum)
        sweep.wait()


def sweep_masters(sweep: Sweep, name: str, most: int, chance: random.Random) -> list[str]:
    """Kill masters in one scene; the faults."""
    scene, begin = MASTERS[name]
    again(sweep)
    scene(sweep, listing(sweep))
    again(sweep)
    every = points(sweep.directory / "strace", begin)
    chosen = sorted(chance.sample(every, min(most, len(every))), key=every.index)
    faults = sweep.check(0)
    for point in chosen:
        scene(sweep, injected(point))
        again(sweep)
        faults += [f"{name}, {point}: {each}" for each in sweep.check(1)]
    print(f"halves: {name}: killed at {len(chosen)} of {len(every)} calls", flush=True)
    sweep.tell(signal.SIGTERM)
    sweep.wait()
    return faults


def sweep_senders(sweep: Sweep, name: str, most: int, chance: random.Random) -> list[str]:
    """Kill a sender: what it had not accepted comes whole or not at all, and the bus goes on."""
    program = sweep.directory / "sender.py"
    program.write_text(SENDER.format(call=SENDS[name]))
    again(sweep)

    def run(wrapper: list[str]) -> str:
        sweep.number += 1
        text = f"m{sweep.number}."
        done = subprocess.run(
            [*wrapper, sys.executable, str(program), text],
            cwd=sweep.directory,
            capture_output=True,
            timeout=60,
            check=False,
        )
        if b"accepted" in done.stdout:
            sweep.sent.add(text)
        return text

    run(listing(sweep))
    every = points(sweep.directory / "strace", "bus.json")
    chosen = sorted(chance.sample(every, min(most, len(every))), key=every.index)
    for point in chosen:
        run(injected(point))
    faults = [f"{name}: {each}" for each in sweep.check(0)]
    lines = sweep.seen.read_text().splitlines()
    faults += [
        f"{name}: half of a message: {each!r}" for each in lines if not re.match(r"m\d+\. *\Z|signal\Z", each)
    ]
    print(f"halves: {name}: killed at {len(chosen)} of {len(every)} calls", flush=True)
    sweep.tell(signal.SIGTERM)
    sweep.wait()
    return faults


def run(directory: Path, most: int, seed: int, names: tuple[str, ...]) -> list[str]:
    """All scenes that are named; the faults."""
    chance = random.Random(seed)
    sweep = Sweep(directory)
    faults: list[str] = []
    try:
        for name in names:
            one = sweep_masters if name in MASTERS else sweep_senders
            faults += one(sweep, name, most, chance)
        shutil.rmtree(directory / "spool", ignore_errors=True)
        print(f"halves: {len(sweep.sent)} messages, {sweep.window} in the documented window")
    except (AssertionError, IpcMulesError, subprocess.TimeoutExpired) as error:
        faults.append(str(error))
    finally:
        end(sweep, signal.SIGKILL)
    text = sweep.log.read_text() if sweep.log.exists() else ""
    return faults + (["a traceback in the log"] if "Traceback" in text else [])


def main() -> int:
    """The command line above."""
    parser = argparse.ArgumentParser(prog="chaos.halves", description="Masters killed at system calls.")
    parser.add_argument("--points", type=int, default=25, help="calls to kill at in each scene")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    if shutil.which("strace") is None:
        print("halves: skipped: there is no strace here")
        return 0
    print(f"halves: --points {options.points} --seed {options.seed}", flush=True)
    top = Path(tempfile.mkdtemp(prefix="imh-", dir="/tmp"))
    directory = top / "1"
    directory.mkdir(mode=0o700)
    try:
        faults = run(directory, options.points, options.seed, (*MASTERS, *SENDS))
        leftovers.end_processes(directory / "run", grace=3.0)
        if subprocess.run(
            [sys.executable, "-m", "ipcmules", "clean"], check=False, capture_output=True
        ).returncode:
            faults.append("ipcmules clean fails")
        faults += [
            f"left behind: {each}" for each in leftovers.remove_objects(directory / "run", top / "seen")
        ]
        for each in faults:
            print(f"DOES NOT BALANCE: {each}")
        if faults and (directory / "log").exists():
            print((directory / "log").read_text(errors="replace")[-4000:])
    finally:
        shutil.rmtree(top, ignore_errors=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
