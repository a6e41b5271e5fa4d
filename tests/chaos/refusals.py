"""`python -m chaos.refusals [--points N] [--seed N]`: a call of the master's is refused, by strace.

For a start, a stop and a reload of a real bus, and for what an attached process does: the calls are listed
once, then the master, or that process, is run again and again, and one of them fails as it does where the
system has no more of something (strace's `-e inject=CALL:error=EMFILE:when=N`, which repeats exactly). Each
time it goes on, or ends with an error that says what there is too little of; no traceback, nothing lost, and
the next start works.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import islice, zip_longest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import leftovers
from chaos import halves
from chaos.halves import MASTERS, Point, Sweep, points, strace
from ipcmules.errors import IpcMulesError

#: What is refused, and how: descriptors, room in memory and on the disk, semaphores, watches, processes.
ERRORS = {
    **dict.fromkeys(("openat", "mq_open", "socket", "socketpair", "pipe2", "dup", "accept4"), "EMFILE"),
    **dict.fromkeys(("epoll_create1", "eventfd2", "timerfd_create", "pidfd_open", "inotify_init1"), "EMFILE"),
    **dict.fromkeys(("mkdir", "mknodat", "rename", "ftruncate", "fallocate", "link", "symlink"), "ENOSPC"),
    **dict.fromkeys(("pwrite64", "semget", "inotify_add_watch"), "ENOSPC"),
    **dict.fromkeys(("clone", "clone3", "fork", "vfork"), "EAGAIN"),
}
_ATTACHED = "attached"
#: Errors that a start may end with.
_WORDS = ("ipcmules: error:",)
#: Those of an attached process; and the last line of a traceback where one was raised in words.
_SENDERS_ERRORS = {**ERRORS, "write": "ENOSPC"}
_RAISED = re.compile(r"ipcmules\.\S+: .*")
SENDER = """
import sys
import ipcmules
sys.path.insert(0, ".")
import program
ipcmules.attach("halves")
name = sys.argv[1]
for number, call in enumerate((
    lambda: ipcmules.mule_msg(f"{name}a. ".encode(), 1),
    lambda: ipcmules.mule_msg(f"{name}b. ".encode().ljust(300_000), 0),
    lambda: program.task(f"{name}c."),
    lambda: ipcmules.lock(0, 5) and ipcmules.unlock(0),
    lambda: ipcmules.register_signal(9, "worker", print),
)):
    call()
    print("accepted", f"{name}{'abc'[number]}." if number < 3 else "", flush=True)
ipcmules.flush()
"""


def _calls(errors: dict[str, str]) -> str:
    return ",".join(f"?{each}" for each in errors)


def _listing(sweep: Sweep) -> list[str]:
    return strace("-e", f"trace={_calls(ERRORS)}", log=sweep.directory / "strace")


def _injected(point: Point) -> list[str]:
    inject = f"inject={point.call}:error={ERRORS[point.call]}:when={point.when}"
    return strace("-e", f"trace={point.call}", "-e", inject)


def _some(every: list[Point], most: int, chance: random.Random) -> list[Point]:
    """So many of them, as many of each call as of another, as far as there are."""
    left: dict[str, list[Point]] = {}
    for each in chance.sample(every, len(every)):
        left.setdefault(each.call, []).append(each)
    in_turn = (each for some in zip_longest(*left.values()) for each in some if each is not None)
    return list(islice(in_turn, most))


def _faults(sweep: Sweep, since: int) -> list[str]:
    """What the log says since a place that it must not."""
    text = sweep.log.read_text(errors="replace")[since:]
    at = text.find("Traceback")
    return [f"a traceback:\n{text[max(at - 300, 0) : at + 2500]}"] if at >= 0 else []


def _sweep(sweep: Sweep, name: str, most: int, chance: random.Random, only: str) -> list[str]:
    scene, begin = MASTERS[name]
    halves.again(sweep)
    scene(sweep, _listing(sweep))
    halves.again(sweep)
    every = [each for each in points(sweep.directory / "strace", begin, ("semget",)) if only in each.call]
    chosen = sorted(_some(every, most, chance), key=every.index)
    faults = sweep.check(0)
    for point in chosen:
        since = sweep.log.stat().st_size
        scene(sweep, _injected(point))
        found = _faults(sweep, since)
        if sweep.code and not any(each in sweep.log.read_text(errors="replace")[since:] for each in _WORDS):
            found.append(f"the master ended with {sweep.code} and no word")
        halves.again(sweep)
        found += sweep.check(0)
        faults += [f"{name}, {point} ({ERRORS[point.call]}): {each}" for each in found]
        for each in found:
            print(f"DOES NOT BALANCE: {name}, {point} ({ERRORS[point.call]}): {each}", flush=True)
    _say(name, chosen, every)
    halves.end(sweep)
    return faults


def _say(name: str, chosen: list[Point], every: list[Point]) -> None:
    counts = Counter(each.call for each in chosen)
    calls = ", ".join(f"{call} {count}" for call, count in sorted(counts.items()))
    print(f"refusals: {name}: {len(chosen)} of {len(every)} calls refused: {calls}", flush=True)


def _sweep_attached(sweep: Sweep, most: int, chance: random.Random, only: str) -> list[str]:
    """What an attached process has accepted is there, and what it has not it says in words."""
    program = sweep.directory / "attached.py"
    program.write_text(SENDER)
    halves.again(sweep)
    faults: list[str] = []

    def run(wrapper: list[str]) -> str:
        sweep.number += 1
        done = subprocess.run(
            [*wrapper, sys.executable, str(program), f"m{sweep.number}"],
            cwd=sweep.directory, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        sweep.sent |= {line.split()[1] for line in done.stdout.splitlines() if len(line.split()) == 2}
        last = (done.stderr.strip().splitlines() or [""])[-1]
        return "" if done.returncode == 0 or _RAISED.match(last) else done.stderr[-2500:]

    log = sweep.directory / "strace"
    text = run(strace("-f", "-y", "-e", f"trace={_calls(_SENDERS_ERRORS)}", log=log))
    faults += [text] if text else []
    _keep_first(log)
    every = [each for each in points(log, "bus.json", ("semget",)) if only in each.call]
    written = _written(log)
    every = [each for each in every if each.call != "write" or each.when in written]
    chosen = sorted(_some(every, most, chance), key=every.index)
    for point in chosen:
        inject = f"inject={point.call}:error={_SENDERS_ERRORS[point.call]}:when={point.when}"
        text = run(strace("-f", "-e", f"trace={point.call}", "-e", inject))
        faults += [f"attached, {point} ({_SENDERS_ERRORS[point.call]}): {text}"] if text else []
    faults += [f"attached: {each}" for each in sweep.check(0)]
    for each in faults:
        print(f"DOES NOT BALANCE: {each}", flush=True)
    _say("attached", chosen, every)
    halves.end(sweep)
    return faults


def _keep_first(log: Path) -> None:
    """Of a listing what the main thread did: calls are counted by thread."""
    lines = log.read_text(errors="replace").splitlines(keepends=True)
    first = lines[0].split()[0]
    log.write_text("".join(each for each in lines if each.startswith(f"{first} ")))


def _written(log: Path) -> set[int]:
    """Which writes go into a file that may find no room: of a large message, of a task."""
    lines = log.read_text(errors="replace").splitlines()
    writes = [each for each in lines if re.match(r"\d+ +write\(", each)]
    return {number for number, each in enumerate(writes, 1) if "/dev/shm" in each or "spool" in each}


def main() -> int:
    """The command line above."""
    parser = argparse.ArgumentParser(prog="chaos.refusals", description="Calls of the master's are refused.")
    parser.add_argument("--points", type=int, default=25, help="calls to refuse in each scene")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--scene", choices=[*MASTERS, _ATTACHED], action="append")
    parser.add_argument("--call", default="", help="calls with this in their name alone")
    options = parser.parse_args()
    if shutil.which("strace") is None:
        print("refusals: skipped: there is no strace here")
        return 0
    print(f"refusals: --points {options.points} --seed {options.seed}", flush=True)
    top = Path(tempfile.mkdtemp(prefix="imr-", dir="/tmp"))
    directory = top / "1"
    directory.mkdir(mode=0o700)
    chance = random.Random(options.seed)
    sweep, faults = Sweep(directory), []
    try:
        for name in options.scene or [*MASTERS, _ATTACHED]:
            if name == _ATTACHED:
                faults += _sweep_attached(sweep, options.points, chance, options.call)
            else:
                faults += _sweep(sweep, name, options.points, chance, options.call)
    except (AssertionError, IpcMulesError, subprocess.TimeoutExpired) as error:
        faults.append(str(error))
        print(f"DOES NOT BALANCE: {error}")
    finally:
        halves.end(sweep)
        leftovers.end_processes(directory / "run", grace=3.0)
        leftovers.remove_objects(directory / "run", top / "seen")
        shutil.rmtree(top, ignore_errors=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
