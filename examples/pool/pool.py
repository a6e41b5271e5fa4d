"""A multiprocessing.Pool program, on a bus with a few lines more: its workers send messages and take locks.

    python pool.py [fork | spawn | forkserver]

The lines that are new are marked with `+`. The pool's workers do nothing to get on the bus.
"""

import functools
import json
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path

import ipcmules  # +


def factors(number: int) -> list:
    """The program's work: the prime factors of a number."""
    found, divisor, rest = [], 2, number
    while divisor * divisor <= rest:
        while rest % divisor == 0:
            found.append(divisor)
            rest //= divisor
        divisor += 1
    return found + [rest] * (rest > 1)


def work(number: int, tally: Path) -> list:
    found = factors(number)
    if len(found) == 1:
        ipcmules.mule_msg(json.dumps([os.getpid(), number]))  # +
        with ipcmules.Lock(1):  # +
            tally.write_text(str(int(tally.read_text()) + 1))
    return found


def keep_journal(journal: Path) -> None:  # +
    """The mule: the one process that writes the journal, so its lines never mix."""
    with journal.open("w") as file:
        while True:  # until the bus stops and all messages are given out: then a receive raises SystemExit
            pid, number = json.loads(ipcmules.mule_get_msg())
            print(f"worker {pid}: {number} is prime", file=file)


def main(method: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        journal, tally = Path(name, "journal.txt"), Path(name, "tally.txt")
        tally.write_text("0")
        bus = ipcmules.Bus(mules=[functools.partial(keep_journal, journal)], locks=1)  # +
        with bus, multiprocessing.get_context(method).Pool(4) as pool:
            results = pool.map(functools.partial(work, tally=tally), range(10_000, 10_500))
            pool.close()  # + leaving `with Pool` kills its workers; so they end by themselves and send all
            pool.join()  # +
        primes = sum(len(found) == 1 for found in results)
        lines = len(journal.read_text().splitlines())
        print(f"{len(results)} numbers, {primes} primes; journal: {lines} lines; tally: {tally.read_text()}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "spawn")
