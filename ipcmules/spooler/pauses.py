"""What is paused of a spool directory: all of it, or the tasks of some functions. A file says it.

Tasks that run go on; no other is begun. The file is written by rename, which a bus's master sees. Knows
files.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ipcmules.kernel import files
from ipcmules.spooler import names

FILE = "ipcmules_paused"
#: As much of the file is read.
_LONGEST = 1 << 20


class Pauses(NamedTuple):
    """Since when, in seconds since 1970; everything: 0.0 where not all is paused."""

    everything: float = 0.0
    functions: Mapping[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self.everything or self.functions)


NONE = Pauses()


def read(directory: str) -> Pauses:
    """What is paused; nothing where that is not said, or makes no sense."""
    try:
        file = os.open(f"{directory}/{FILE}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return NONE
    try:
        found = json.loads(os.read(file, _LONGEST))
        functions = {str(name): float(since) for name, since in found["functions"].items()}
        return Pauses(float(found["everything"]), functions)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return NONE
    finally:
        os.close(file)


def change(directory: str, function: str | None, paused: bool) -> bool:
    """Pause a directory, or the tasks of a function (its bare or whole name), or resume them.

    To resume a directory (function None) leaves its functions as they are. False where it was so. Raises
    OSError.
    """
    with _alone(directory):
        old = read(directory)
        if function is None:
            if bool(old.everything) == paused:
                return False
            new = old._replace(everything=time.time() if paused else 0.0)
        else:
            if (function in old.functions) == paused:
                return False
            others = {name: since for name, since in old.functions.items() if name != function}
            new = old._replace(functions={**others, function: time.time()} if paused else others)
        data = json.dumps({"everything": new.everything, "functions": dict(new.functions)}).encode()
        temporary = f"{directory}/{names.new_name(names.WRITING)}"
        # Also where nothing is paused any more: of a file that is removed no master is told.
        files.replace(f"{directory}/{FILE}", data, temporary=temporary)
    return True


@contextlib.contextmanager
def _alone(directory: str) -> Iterator[None]:
    """One process at a time changes it; the lock goes with the process."""
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
