"""An app whose spooler function counts, waits or notes the time, as the task says. Loaded by either side."""

from __future__ import annotations

import importlib
import os
import time
from typing import Any

from benchmarks.programs.channel import DIRECTORY_VARIABLE
from benchmarks.programs.report import report
from benchmarks.programs.tally import Tally

SPOOL_OK = -2
tally = Tally(os.environ[DIRECTORY_VARIABLE])
add = tally.add
latencies: list[int] = []


def handler(task: dict[Any, Any]) -> int:
    if b"do" in task:
        return special(time.monotonic_ns(), task)
    add()
    return SPOOL_OK


def special(now: int, task: dict[Any, Any]) -> int:
    """What is not counted: 'hold' keeps the spooler busy, 'note' and 'report' measure latencies."""
    if task[b"do"] == b"hold":
        taken = task[b"path"] + b".taken"
        os.close(os.open(taken, os.O_CREAT | os.O_WRONLY, 0o600))
        while os.path.exists(task[b"path"]):
            time.sleep(0.01)
        os.unlink(taken)
    elif task[b"do"] == b"note":
        latencies.append(now - int(task[b"sent"]))
    else:
        report("spooler", latencies)
        latencies.clear()
    return SPOOL_OK


try:
    # Exists only inside a uWSGI process: type checkers cannot see it.
    uwsgi: Any = importlib.import_module("uwsgi")
except ImportError:
    from ipcmules import set_spooler

    set_spooler(handler)
else:
    uwsgi.spooler = handler
