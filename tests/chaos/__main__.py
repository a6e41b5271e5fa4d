"""`python -m chaos [--seed N] ...`: prints the ledger; exit code 1 if it does not balance."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import leftovers
from chaos import ledger
from chaos.director import BUS, Director


def main() -> int:
    """The command line above."""
    parser = argparse.ArgumentParser(prog="chaos", description="A bus under fire, and the ledger afterwards.")
    parser.add_argument(
        "--seconds", type=float, default=60, help="of mischief; the end takes a little longer"
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--signals", type=int, default=10_000)
    parser.add_argument("--sections", type=int, default=5_000)
    parser.add_argument("--senders", type=int, default=4)
    parser.add_argument("--keep", action="store_true", help="keep records and log")
    options = parser.parse_args()
    print(f"chaos: {options.seconds:g} s, --seed {options.seed}", flush=True)
    top = Path(tempfile.mkdtemp(prefix="imc-", dir="/tmp"))
    watcher = subprocess.Popen(
        [sys.executable, "-S", str(Path(leftovers.__file__).with_name("watcher.py")), str(top)],
        stdin=subprocess.PIPE,
    )
    try:
        return _run(options, top)
    finally:
        assert watcher.stdin
        watcher.stdin.close()
        watcher.wait(10)
        if options.keep:
            print(f"chaos: records and log are in {top}")
        else:
            shutil.rmtree(top, ignore_errors=True)


def _run(options: argparse.Namespace, top: Path) -> int:
    directory = top / "1"
    directory.mkdir(mode=0o700)
    os.environ.update(
        IPCMULES_RUNTIME_DIR=str(directory / "run"), IPCMULES_STATE_DIR=str(directory / "state")
    )
    with (directory / "log").open("wb") as log:
        director = Director(directory, options.seconds, options.seed, _shares(options), log)
        try:
            director.run()
        except BaseException:
            director.give_up()
            raise
        finally:
            left = leftovers.end_processes(directory / "run", grace=3.0)
            left += leftovers.remove_objects(directory / "run", top / "seen")
            # What is kept over an end is whole: nothing half written is beside it.
            left += [f"file {each}" for each in (directory / "state").rglob("*") if _is_half(each)]
    kills = ledger.Kills(director.kills, director.mule_kills, director.killed_senders, director.killed_pids)
    text = (directory / "log").read_text(errors="replace")
    made = ledger.draw_up(ledger.Sums(director.directory, BUS), director.directory, kills)
    for role, count in sorted(director.kills.items()):
        made.row(f"killed: {role}", count)
    for deed, count in sorted(director.deeds.items()):
        made.row(deed, count)
    made.row("left behind", len(left))
    for each in left:
        made.fault(f"left behind: {each}")
    for each in director.problems:
        made.fault(each)
    for line in text.splitlines():
        if any(word in line for word in ("Traceback", "killed after", "is killed: it did not end")):
            made.fault(f"in the log: {line}")
    print(made)
    if made.faults:
        print(f"chaos: the end of the log:\n{text[-6000:]}\nchaos: again with --seed {options.seed}")
    return 1 if made.faults else 0


def _is_half(path: Path) -> bool:
    return path.is_file() and (path.name.startswith(".") or path.suffix == ".new")


def _shares(options: argparse.Namespace) -> list[Counter[str]]:
    return [
        Counter(
            {
                what: total // options.senders + (number < total % options.senders)
                for what, total in (
                    ("message", options.messages),
                    ("signal", options.signals),
                    ("section", options.sections),
                )
            }
        )
        for number in range(options.senders)
    ]


if __name__ == "__main__":
    sys.exit(main())
