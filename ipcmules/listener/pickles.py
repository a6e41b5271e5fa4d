"""Tasks that a spooler would unpickle: from a socket they need a signature, else they go to dead/ unread.

Whoever can have a pickle loaded can run anything. Knows the wire and files.
"""

from __future__ import annotations

import json
import os
import pickletools
import re
import secrets
import socket
import time

from ipcmules import wire

#: What the names of tasks begin with, and those of the files that say why one was given up (docs/spooler.md).
_TASK, _WHY = "uwsgi_spoolfile_on_", "ipcmules_reason_on_"
_REASON = "it came over a socket without a valid signature, and its arguments are pickled: not read"

#: Variables whose values uWSGI's decorators and uwsgi-tasks unpickle.
_PICKLED = frozenset({b"args", b"kwargs", b"setup"})

#: What loading a pickle of protocol 0 or 1 needs to reach any code: a name to import ...
_IMPORTS = frozenset({"GLOBAL", "INST"})
#: ... as these opcodes give it, module and name;
_NAME = re.compile(r"[A-Za-z_][\w.]* [A-Za-z_][\w.]*\Z")
#: ... and a call.
_CALLS = frozenset({"INST", "OBJ", "REDUCE", "BUILD"})


def would_be_loaded(variables: dict[bytes, bytes]) -> bool:
    """True if somebody would unpickle a value: by its name, or because it looks like a pickle."""
    return bool(_PICKLED & variables.keys()) or any(_looks_pickled(each) for each in variables.values())


def _looks_pickled(value: bytes) -> bool:
    """True for what pickle.loads() would take, whatever follows the pickle's end (which it does not read)."""
    # Protocols 2 to 5 begin with their number. No UTF-8 text begins with this byte.
    if value[:1] == b"\x80" and value[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return True
    # Protocols 0 and 1 begin with anything, and most text with an opcode. What can do harm imports and calls.
    imported = False
    try:
        for opcode, argument, _ in pickletools.genops(value):
            if opcode.name in _IMPORTS:
                imported = imported or _NAME.match(str(argument)) is not None
            if imported and opcode.name in _CALLS:
                return True
    except Exception:  # whatever it raises for what is no pickle
        return False
    return False


def bury(variables: dict[bytes, bytes], directory: str) -> str:
    """Put a task into dead/ of a spool directory, with the reason beside it; returns its path."""
    dead = os.path.join(directory, "dead")
    os.makedirs(dead, mode=0o700, exist_ok=True)
    now = time.time()
    one_of = f"{socket.gethostname()}_{os.getpid()}_1_{secrets.randbelow(2**31)}"
    name = f"{_TASK}{one_of}_{int(now)}_{int(now % 1 * 1e6)}"
    packed = wire.pack_vars(variables)
    # The reason first: no task is there without.
    known = {"attempts": 0, "returned": 0, "time": now, "wait": 0.0, "reason": _REASON, "traceback": ""}
    about = {"priority": "", "buried": now, **known}
    _write(os.path.join(dead, name.replace(_TASK, _WHY, 1)), json.dumps(about).encode())
    _write(os.path.join(dead, name), wire.pack_header(wire.SPOOL, len(packed)) + packed)
    return os.path.join(dead, name)


def _write(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
