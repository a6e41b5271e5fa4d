"""A huey application with a task that counts, on the storage that the environment names."""

from __future__ import annotations

import importlib
import os
from typing import Any

from benchmarks.programs.channel import DIRECTORY_VARIABLE
from benchmarks.programs.tally import Tally

#: 'sqlite' or 'file', and where.
STORAGE_VARIABLE, PATH_VARIABLE = "BENCH_HUEY_STORAGE", "BENCH_HUEY_PATH"

# In the bench extra alone: type checkers need not have it.
_huey: Any = importlib.import_module("huey")
_path = os.environ[PATH_VARIABLE]
huey: Any = (
    _huey.SqliteHuey(filename=os.path.join(_path, "huey.db"))
    if os.environ[STORAGE_VARIABLE] == "sqlite"
    else _huey.FileHuey(path=_path)
)
_tally = Tally(os.environ[DIRECTORY_VARIABLE])


@huey.task()  # type: ignore[untyped-decorator] # huey has no types
def work(key: str) -> None:
    _tally.add()
