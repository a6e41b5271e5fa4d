"""An app whose message hook notes how long each message took. Loaded by either side."""

from __future__ import annotations

import importlib
import time
from typing import Any

from benchmarks.programs.report import report

STOP = b"stop"
taken: list[int] = []


def hook(message: bytes) -> None:
    if message == STOP:
        report("hook", taken)
        taken.clear()
        return
    taken.append(time.monotonic_ns() - int.from_bytes(message[:8], "little"))


try:
    # Exists only inside a uWSGI process: type checkers cannot see it.
    uwsgi: Any = importlib.import_module("uwsgi")
except ImportError:
    from ipcmules import install_mule_msg_hook

    install_mule_msg_hook(hook)
else:
    uwsgi.mule_msg_hook = hook
