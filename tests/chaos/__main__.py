"""`python -m chaos [--kinds kill,fork] [--seed N] ...`: prints the ledger; exit code 1 if it is wrong."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import leftovers
from chaos import exhausting, ledger, tracebacks
from chaos.director import Director
from chaos.looking import BUS

#: The kinds of mischief, with the share of the time that each gets, and all of them together at the end.
KINDS = {"kill": 2, "interrupt": 1, "exhaust": 1, "remove": 1, "fork": 1}
TOGETHER = "together"
_TOGETHER = 3
COLUMNS = ("accepted", "handled", "dead letters", "refused in words", "in a kill's window")
FAULTS = ("lost", "doubled", "left behind")


@dataclass(frozen=True)
class Round:
    """One life of a bus: what is done to it, and how long."""

    name: str
    kinds: list[str]
    share: float


def main() -> int:
    """The command line above."""
    options = _options()
    inside = exhausting.inside()
    top = inside or Path(tempfile.mkdtemp(prefix="imc-", dir="/tmp"))
    try:
        fills = "exhaust" in options.kinds and exhausting.alone(top)
        return _watched(options, top, fills)
    finally:
        if inside is None and options.keep:
            print(f"chaos: records and log are in {top}")
        elif inside is None:
            shutil.rmtree(top, ignore_errors=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description="A bus under fire, and the ledger afterwards.")
    parser.add_argument(
        "--kinds", type=_kinds, default=list(KINDS), help=f"what is done: {','.join(KINDS)} (default: all)"
    )
    parser.add_argument("--together", action="store_true", help="all kinds in one run, none by itself")
    parser.add_argument(
        "--seconds", type=float, default=90, help="of mischief; the end of each run takes a little longer"
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--signals", type=int, default=10_000)
    parser.add_argument("--sections", type=int, default=5_000)
    parser.add_argument("--senders", type=int, default=4)
    parser.add_argument("--details", action="store_true", help="the whole ledger of each run")
    parser.add_argument("--keep", action="store_true", help="keep records and log")
    return parser.parse_args()


def _kinds(text: str) -> list[str]:
    found = text.split(",")
    for each in found:
        if each not in KINDS:
            raise argparse.ArgumentTypeError(f"{each!r} is none of {','.join(KINDS)}")
    return found


def _watched(options: argparse.Namespace, top: Path, fills: bool) -> int:
    print(f"chaos: {options.seconds:g} s of {','.join(options.kinds)}, --seed {options.seed}", flush=True)
    if "exhaust" in options.kinds and not fills:
        print("chaos: no file system is filled: this user may not mount one of its own", flush=True)
    watcher = subprocess.Popen(
        [sys.executable, "-S", str(Path(leftovers.__file__).with_name("watcher.py")), str(top)],
        stdin=subprocess.PIPE,
    )
    try:
        return _run_all(options, top, fills)
    finally:
        assert watcher.stdin
        watcher.stdin.close()
        watcher.wait(10)


def _run_all(options: argparse.Namespace, top: Path, fills: bool) -> int:
    rounds = [] if options.together else [Round(each, [each], KINDS[each]) for each in options.kinds]
    if len(options.kinds) > 1:
        rounds.append(Round(TOGETHER, options.kinds, _TOGETHER))
    rounds = rounds or [Round(options.kinds[0], options.kinds, 1)]
    whole = sum(each.share for each in rounds)
    made = []
    for number, each in enumerate(rounds, 1):
        one = _run(options, top, number, each, each.share / whole, fills)
        made.append((each, one))
        if one.faults:
            break
    print(_table(made))
    faults = any(one.faults for _, one in made)
    print("The ledger does not balance." if faults else "The ledger balances.")
    return 1 if faults else 0


def _run(
    options: argparse.Namespace, top: Path, number: int, what: Round, share: float, fills: bool
) -> ledger.Ledger:
    directory = top / str(number)
    directory.mkdir(mode=0o700)
    state = top / "state" / str(number)
    os.environ.update(IPCMULES_RUNTIME_DIR=str(directory / "run"), IPCMULES_STATE_DIR=str(state))
    seconds = options.seconds * share
    with (directory / "log").open("wb") as log:
        director = Director(directory, what.kinds, seconds, options.seed, _shares(options, share), log, fills)
        try:
            director.run()
        except BaseException:
            director.give_up()
            raise
        finally:
            left = leftovers.end_processes(directory / "run", grace=3.0)
            left += leftovers.remove_objects(directory / "run", top / "seen")
            # What is kept over an end is whole: nothing half written is beside it.
            left += [f"file {each}" for each in state.rglob("*") if _is_half(each)]
    kills = ledger.Kills(director.kills, director.mule_kills, director.killed_senders, director.killed_pids)
    text = (directory / "log").read_text(errors="replace")
    made = ledger.draw_up(ledger.Sums(director.directory, BUS), director.directory, kills)
    deeds = Counter({f"killed: {role}": count for role, count in director.kills.items()}) + director.deeds
    for deed, count in sorted(deeds.items()):
        made.row(deed, count)
    own = sum(made.own[each] for each in what.kinds if each in made.own)
    made.figures["times"] = own + sum(deeds.values())
    made.row("left behind", len(left))
    made.figures["left behind"] = len(left)
    for each in [*(f"left behind: {each}" for each in left), *director.problems, *tracebacks.faults(text)]:
        made.fault(each)
    if made.faults or options.details:
        print(f"\n{what.name}\n{made}")
    if made.faults:
        print(f"chaos: the end of the log:\n{tracebacks.without(text)[-6000:]}")
        print(f"chaos: again with --seed {options.seed}")
    return made


def _table(made: list[tuple[Round, ledger.Ledger]]) -> str:
    columns = ("kind", "times", *COLUMNS, *FAULTS)
    rows = [(each.name, *(str(one.figures[column]) for column in columns[1:])) for each, one in made]
    widths = [max(len(row[at]) for row in (columns, *rows)) for at in range(len(columns))]
    lines = []
    for first, *others in (columns, *rows):
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]))
    return "\n".join(lines)


def _is_half(path: Path) -> bool:
    return path.is_file() and (path.name.startswith(".") or path.suffix == ".new")


def _shares(options: argparse.Namespace, share: float) -> list[Counter[str]]:
    totals = [
        (what, round(total * share))
        for what, total in (
            ("message", options.messages),
            ("signal", options.signals),
            ("section", options.sections),
        )
    ]
    return [
        Counter(
            {what: total // options.senders + (number < total % options.senders) for what, total in totals}
        )
        for number in range(options.senders)
    ]


if __name__ == "__main__":
    sys.exit(main())
