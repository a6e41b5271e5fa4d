"""What is paused of a spool directory: all of it, or the tasks of some functions. A file says it.

Tasks that run go on; no other is begun. The file is written by rename, which a bus's master sees. Of a
spooler of the cluster it says, too, what is paused on all hosts, as the carrier has heard. Knows files.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

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


#: What is paused on all hosts is under this key.
_CLUSTER = "cluster"


def read(directory: str) -> Pauses:
    """What is paused; nothing where that is not said, or makes no sense."""
    here, everywhere = _read(directory)
    return Pauses(here.everything or everywhere.everything, {**everywhere.functions, **here.functions})


def _read(directory: str) -> tuple[Pauses, Pauses]:
    """What is paused here, and on all hosts."""
    try:
        file = os.open(f"{directory}/{FILE}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return NONE, NONE
    try:
        found = json.loads(os.read(file, _LONGEST))
        return _of(found), _of(found[_CLUSTER]) if _CLUSTER in found else NONE
    except (OSError, *_NONSENSE):
        return NONE, NONE
    finally:
        os.close(file)


_NONSENSE = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


def _of(found: Any) -> Pauses:
    functions = {str(name): float(since) for name, since in found["functions"].items()}
    return Pauses(float(found["everything"]), functions)


def loaded(text: bytes) -> Pauses:
    """The reverse of dumped(); nothing where it makes no sense."""
    try:
        return _of(json.loads(text))
    except _NONSENSE:
        return NONE


def dumped(found: Pauses) -> bytes:
    """What is paused, as it is kept in the cluster."""
    return json.dumps(_values(found)).encode()


def _values(found: Pauses) -> dict[str, Any]:
    return {"everything": found.everything, "functions": dict(found.functions)}


def changed(old: Pauses, function: str | None, paused: bool) -> Pauses | None:
    """What is paused once all, or the tasks of a function, are paused or resumed; None where it is so."""
    if function is None:
        if bool(old.everything) == paused:
            return None
        return old._replace(everything=time.time() if paused else 0.0)
    if (function in old.functions) == paused:
        return None
    others = {name: since for name, since in old.functions.items() if name != function}
    return old._replace(functions={**others, function: time.time()} if paused else others)


def change(directory: str, function: str | None, paused: bool) -> bool:
    """Pause a directory, or the tasks of a function (its bare or whole name), or resume them.

    To resume a directory (function None) leaves its functions as they are, and what is paused on all hosts.
    False where it was so. Raises OSError.
    """
    with _alone(directory):
        old, everywhere = _read(directory)
        new = changed(old, function, paused)
        if new is None:
            return False
        _write(directory, new, everywhere)
    return True


def set_everywhere(directory: str, everywhere: Pauses) -> None:
    """Say in a directory what is paused on all hosts. Raises OSError."""
    with _alone(directory):
        here, old = _read(directory)
        if old != everywhere:
            _write(directory, here, everywhere)


def _write(directory: str, here: Pauses, everywhere: Pauses) -> None:
    said = _values(here) | ({_CLUSTER: _values(everywhere)} if everywhere else {})
    temporary = f"{directory}/{names.new_name(names.WRITING)}"
    # Also where nothing is paused any more: of a file that is removed no master is told.
    files.replace(f"{directory}/{FILE}", json.dumps(said).encode(), temporary=temporary)


@contextlib.contextmanager
def _alone(directory: str) -> Iterator[None]:
    """One process at a time changes it; the lock goes with the process."""
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
