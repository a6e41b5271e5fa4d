"""The application: sends the standard library's files to the farm, then prints and checks the result.

Run it with demo.py, which says how.
"""

import os
import sys
import sysconfig
import threading
from pathlib import Path

import progress
import totals
from rich.console import Console
from rich.table import Table

from ipcmules import farm_msg
from ipcmules.decorators import signal

done = threading.Event()


@signal(progress.DONE, target="workers")
def finish(signum: int) -> None:
    done.set()


def main() -> int:
    library = Path(sysconfig.get_path("stdlib"))
    paths = [path for path in sorted(library.rglob("*.py")) if "site-packages" not in path.parts]
    result = count_by_farm(paths)
    sums = [sum(column) for column in zip(*result.values(), strict=True)]
    print_table(result, sums, library)
    return check(sums, paths)


def count_by_farm(paths: list) -> dict:
    """What each mule counted, by its number."""
    totals.create(expected=len(paths))
    try:
        for path in paths:
            farm_msg("indexers", os.fsencode(path))  # waits while the mules have enough to do
        if not done.wait(600):
            sys.exit("index.py: the mules did not finish within 10 minutes")
        return totals.read()["mules"]
    finally:
        totals.path().unlink()


def print_table(result: dict, sums: list, library: Path) -> None:
    table = Table(title=str(library))
    for name in ("mule", *totals.COLUMNS, "share"):
        table.add_column(name, justify="right")
    rows = [*sorted(result.items()), ("all", sums)]
    for name, counts in rows:
        table.add_row(name, *(f"{number:,}" for number in counts), f"{counts[0] / sums[0]:.0%}")
    Console().print(table)


def check(sums: list, paths: list) -> int:
    """Count files and lines here, in one process: 0 if the farm came to the same numbers."""
    direct = [len(paths), sum(len(path.read_bytes().splitlines()) for path in paths)]
    verdict = "the same" if direct == sums[:2] else "NOT the same"
    print(f"check: {direct[0]:,} files and {direct[1]:,} lines counted directly in one process: {verdict}")
    return int(direct != sums[:2])


if __name__ == "__main__":
    sys.exit(main())
