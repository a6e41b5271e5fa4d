"""The shared result: a small file that every process of the bus reads and writes under lock 0."""

import json
import os
import tempfile
from pathlib import Path

from ipcmules import Lock, masterpid

COLUMNS = ("files", "lines", "definitions", "unparsed")


def path() -> Path:
    return Path(tempfile.gettempdir(), f"index-{os.getuid()}-{masterpid()}.json")


def create(expected: int) -> None:
    with path().open("x") as file:
        json.dump({"expected": expected, "mules": {}}, file)


def read() -> dict:
    with Lock(0):
        return json.loads(path().read_text())


def add(mule: int, counts: tuple) -> None:
    """Add one file's counts to what a mule has done."""
    with Lock(0):
        totals = json.loads(path().read_text())
        before = totals["mules"].get(str(mule), [0] * len(COLUMNS))
        totals["mules"][str(mule)] = [old + new for old, new in zip(before, counts, strict=True)]
        path().write_text(json.dumps(totals))
