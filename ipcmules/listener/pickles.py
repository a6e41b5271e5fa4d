"""Tasks that a spooler would unpickle: from a socket they need a signature, else they go to dead/ unread.

Whoever can have a pickle loaded can run anything. ipcmules itself unpickles the variables of calls alone,
which are known by name. What an application unpickles besides cannot be known: any value that a pickle
loader could import something from is refused as well. Knows the wire and files.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import time

from ipcmules.wire import packets

#: What the names of tasks begin with, and those of the files that say why one was given up (docs/spooler.md).
_TASK, _WHY = "uwsgi_spoolfile_on_", "ipcmules_reason_on_"
_REASON = "it came over a socket without a valid signature, and its arguments are pickled: not read"

#: Variables whose values uWSGI's decorators and uwsgi-tasks unpickle.
_PICKLED = frozenset({b"args", b"kwargs", b"setup"})

#: Opcodes (Python's Modules/_pickle.c) by the argument that follows them. A number of bytes ...
_FIXED = {
    **dict.fromkeys(b"N()]}tldaesuob20R1Q.", 0),
    **dict.fromkeys(b"\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x94\x97\x98", 0),
    **dict.fromkeys(b"Kqh\x80", 1),
    **dict.fromkeys(b"M", 2),
    **dict.fromkeys(b"Jrj", 4),
    **dict.fromkeys(b"G", 8),
}
#: ... a length of so many bytes, and that many bytes;
_COUNTED = {
    **dict.fromkeys(b"UC\x8a\x8c", 1),
    **dict.fromkeys(b"TBX\x8b", 4),
    **dict.fromkeys(b"\x8d\x8e\x96", 8),
}
#: ... or a line, and what must be in it: with anything else every loader raises.
_LINES = {
    **dict.fromkeys(b"ILpg", re.compile(rb"[\s\w+-]*")),
    **dict.fromkeys(b"F", re.compile(rb"[\s\w+.-]*")),
    **dict.fromkeys(b"S", re.compile(rb"\s*(?:'.*'|\".*\")\s*", re.DOTALL)),
    **dict.fromkeys(b"VP", re.compile(rb".*", re.DOTALL)),
}
#: What raises unless something, or a mark, was put onto the stack before. Not INST: the loader that is
#: written in Python, which dill builds upon, imports before it looks for the mark.
_NEEDS_ITEM = frozenset(b"abs2Rqrp.\x81\x85\x86\x87\x92\x94\x98Q")
_NEEDS_MARK = frozenset(b"tldeuo1\x90\x91")
_MARK, _GLOBAL, _INST, _STACK_GLOBAL = b"(ci\x93"
#: What puts a text onto the stack, of which STACK_GLOBAL makes a name; a persistent ID may be one.
_TEXTS = frozenset(b"STUVX\x8c\x8dPQ")
#: What can be the name of a module, or begins with one: __import__("package.no name") imports the package.
_MODULE = re.compile(r"[\w-]+(\..*)?|[\w.-]+")
#: A frame that ends within an argument: the C loader goes on at one place in bytes, at another one in a file.
_FRAME = 0x95
#: Take a name from the application's copyreg registry.
_EXTENSIONS = frozenset(b"\x82\x83\x84")
#: What puts nothing onto the stack.
_PUSHES_NOTHING = frozenset(b"abdelostu012.Rpqr\x80\x81\x85\x86\x87\x90\x91\x92\x94\x98")


def would_be_loaded(variables: dict[bytes, bytes]) -> bool:
    """True if somebody would unpickle a value: by its name, or because loading it may run code."""
    return bool(_PICKLED & variables.keys()) or any(map(may_run, variables.values()))


def may_run(value: bytes) -> bool:
    """False only if no pickle loader would import anything, and so run anything, for these bytes.

    pickletools.genops() cannot say so: it raises for what the C loader takes (`I0x10`), and code behind that
    would not be seen. So every opcode counts but those behind one at which all loaders raise.
    """
    # Protocols begin with their number; no UTF-8 text begins with this byte.
    if value[:1] == b"\x80" and value[1:2] and value[1] < 0x20:
        return True
    at, texts, items, marks = 0, False, False, False
    while at < len(value):
        code = value[at]
        if (code in _NEEDS_MARK and not marks) or (code in _NEEDS_ITEM and not (items or marks)):
            return False
        if code in _EXTENSIONS or code == _FRAME or (code == _STACK_GLOBAL and texts):
            return True
        if code in (_GLOBAL, _INST):
            return _names_a_module(value, at + 1)
        marks |= code == _MARK
        texts |= code in _TEXTS
        items |= code not in _PUSHES_NOTHING
        at = _after(value, at)
    return False


def _after(value: bytes, at: int) -> int:
    """Where the next opcode stands; the end where every loader raises at this one."""
    code, start, end = value[at], at + 1, len(value)
    if code in _FIXED:
        return start + _FIXED[code]
    if code in _COUNTED:
        width = _COUNTED[code]
        return start + width + int.from_bytes(value[start : start + width], "little")
    newline = value.find(b"\n", start)
    if code not in _LINES or newline < 0 or not _LINES[code].fullmatch(value, start, newline):
        return end
    return newline + 1


def _names_a_module(value: bytes, at: int) -> bool:
    """True if two lines follow, the first of which can be the name of a module to be imported."""
    module, newline, rest = value[at:].partition(b"\n")
    return bool(newline and _MODULE.fullmatch(module.decode(errors="replace")) and b"\n" in rest)


def bury(variables: dict[bytes, bytes], directory: str) -> str:
    """Put a task into dead/ of a spool directory, with the reason beside it; returns its path."""
    dead = os.path.join(directory, "dead")
    os.makedirs(dead, mode=0o700, exist_ok=True)
    now = time.time()
    one_of = f"{socket.gethostname()}_{os.getpid()}_1_{secrets.randbelow(2**31)}"
    name = f"{_TASK}{one_of}_{int(now)}_{int(now % 1 * 1e6)}"
    packed = packets.pack_vars(variables)
    # The reason first: no task is there without.
    known = {"attempts": 0, "returned": 0, "time": now, "wait": 0.0, "reason": _REASON, "traceback": ""}
    about = {"priority": "", "buried": now, **known}
    _write(os.path.join(dead, name.replace(_TASK, _WHY, 1)), json.dumps(about).encode())
    _write(os.path.join(dead, name), packets.pack_header(packets.SPOOL, len(packed)) + packed)
    return os.path.join(dead, name)


def _write(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
