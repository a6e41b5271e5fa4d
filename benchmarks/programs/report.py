"""A word to the driver from a process that takes no requests: one JSON line into its FIFO of answers."""

from __future__ import annotations

import json
import os
from typing import Any

from benchmarks.programs.channel import DIRECTORY_VARIABLE, paths


def report(name: str, value: Any) -> None:
    with open(paths(os.environ[DIRECTORY_VARIABLE], name)[1], "w", encoding="utf-8") as file:
        file.write(json.dumps(value) + "\n")
