"""How a process ended: what the master had decided about it, its wait status, and both in words.

Values only. A *death* is the number in the record's R_DEATH cell (docs/formats-table.md), 0 for none yet.
"""

from __future__ import annotations

from ipcmules.bus.table import LEAVES_BY_COUNT, LEAVES_IDLE
from ipcmules.master.children.children import describe_status, exit_code, is_signaled

#: Why it ended: by itself or somebody else's kill; replaced by a reload; after --mule-max-msgs or --spooler-
#: max-tasks; killed for a hook, handler or call that took too long; killed because it did not end in time at
#: a stop or a reload; a spooler that had nothing to do (--spooler-cheap); replaced because somebody asked.
PLAIN, RELOADED, COUNTED, HARAKIRI, MERCY, IDLE, ASKED = range(7)

_KNOWN = 1 << 40
_KIND_SHIFT = 32
_SIGTERM = 15


def judge(sentence: int, leaving: int, status: int) -> int:
    """The death of a process. sentence: what the master had decided; leaving: its R_LEAVING cell."""
    kind = PLAIN
    killed = is_signaled(status)
    ended = not killed or status & 0x7F == _SIGTERM
    if (sentence in (HARAKIRI, MERCY) and killed) or (sentence in (RELOADED, ASKED) and ended):
        kind = sentence
    elif leaving == LEAVES_BY_COUNT and not is_signaled(status) and exit_code(status) == 0:
        kind = COUNTED
    elif leaving == LEAVES_IDLE and not is_signaled(status) and exit_code(status) == 0:
        kind = IDLE
    return _KNOWN | kind << _KIND_SHIFT | status & 0xFFFF


def is_planned(death: int) -> bool:
    """True if it was to end and another is to follow: it did not die young, however old it was."""
    return kind_of(death) in (RELOADED, COUNTED, MERCY, IDLE, ASKED)


def kind_of(death: int) -> int:
    """PLAIN, RELOADED, ..."""
    return death >> _KIND_SHIFT & 0xFF


def is_success(death: int) -> bool:
    """True if it ended by itself with code 0."""
    return death & 0xFFFF == 0


def describe(death: int) -> str:
    """In words that follow the process's name, '' for none."""
    if not death:
        return ""
    kind = kind_of(death)
    if kind == RELOADED:
        return "was replaced by a reload"
    if kind == ASKED:
        return "was replaced because somebody asked for it"
    if kind == COUNTED:
        return "has had its number of messages or tasks (--mule-max-msgs, --spooler-max-tasks)"
    if kind == IDLE:
        return "had nothing to do (--spooler-cheap)"
    if kind == HARAKIRI:
        return "was killed by harakiri: a hook, a handler, a task or guarded code took longer than allowed"
    if kind == MERCY:
        return "was killed because it did not end within the mercy of a stop or a reload"
    return describe_status(death & 0xFFFF)
