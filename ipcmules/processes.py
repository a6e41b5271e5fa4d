"""Which process is which: a pid together with its start time, which no later process shares.

Knows /proc and nothing of the bus. Platform-specific: this is the one place that reads /proc/PID/stat.
"""

from __future__ import annotations

import os
from typing import NamedTuple


class ProcessId(NamedTuple):
    """One process for ever: its pid and its start time in clock ticks since boot (proc_pid_stat(5))."""

    pid: int
    start: int

    def alive(self) -> bool:
        """True while this very process runs (a zombie does not count)."""
        return self.pid > 0 and start_time(self.pid) == self.start


def _stat_fields(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read()
    except OSError:
        return []
    # The second field is the command in parentheses and may itself contain spaces and parentheses.
    return line[line.rindex(b")") + 2 :].split()


def start_time(pid: int) -> int:
    """Start time of a running process in clock ticks since boot; 0 if there is none or it is a zombie."""
    fields = _stat_fields(pid)
    if not fields or fields[0] in (b"Z", b"X"):
        return 0
    return int(fields[19])


def parent_of(pid: int) -> int:
    """The parent's pid, 0 if there is no such process."""
    fields = _stat_fields(pid)
    return int(fields[1]) if fields else 0


def current() -> ProcessId:
    """The calling process."""
    pid = os.getpid()
    return ProcessId(pid, start_time(pid))


def ancestors() -> list[ProcessId]:
    """The calling process's parent, its parent, and so on to the root."""
    found: list[ProcessId] = []
    pid = os.getppid()
    while pid > 0:
        found.append(ProcessId(pid, start_time(pid)))
        pid = parent_of(pid)
    return found
