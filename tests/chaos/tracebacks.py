"""What a log must not say: tracebacks, but of what the app raises on purpose, and who did not end."""

from __future__ import annotations

_BAD = ("killed after", "is killed: it did not end")
#: What the app raises on purpose, and what ends a child of a program that receives as its parent does.
_MEANT = ("chaos.interruption.Interrupted", "chaos.forking.Forked")
#: A template that is left no descriptor cannot load the app, whose files of records these are.
_RECORDS = "OSError: [Errno 24] Too many open files: ", "/records/"
_CHILD = "ipcmules.errors.NotAMule: mule_get_msg() works in a mule; this is a process of role 'child'"


def faults(text: str) -> list[str]:
    """One text a fault."""
    lines = text.splitlines()
    found = [f"in the log: {line}" for line in lines if any(word in line for word in _BAD)]
    for at in range(len(lines)):
        length = _length(lines, at)
        last = lines[at + length - 1].strip() if length else ""
        if length and not last.startswith((*_MEANT, _CHILD)) and not all(each in last for each in _RECORDS):
            found.append(f"in the log, line {at + 1}: a traceback: {last}")
    return found


def without(text: str) -> str:
    """The log without tracebacks."""
    lines = text.splitlines()
    left, at = [], 0
    while at < len(lines):
        length = _length(lines, at)
        if not length:
            left.append(lines[at])
        at += length or 1
    return "\n".join(left)


def _length(lines: list[str], at: int) -> int:
    """How many lines the traceback has that begins at a line; 0 if none does.

    The line that ends it is indented as the one that begins it.
    """
    if "Traceback (most recent call last)" not in lines[at]:
        return 0
    indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
    for length, line in enumerate(lines[at + 1 : at + 100], 2):
        if line.strip() and line.startswith(indent) and not line[len(indent) :].startswith(" "):
            return length
    return 1
