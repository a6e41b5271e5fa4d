"""What the kernel says of a process under test (proc_pid_status(5), proc_pid_smaps(5))."""

from __future__ import annotations

import contextlib
import os


def voluntary_switches(pid: int) -> int:
    """How often the threads of a process went to sleep; each had been woken once for it."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{task}/status") as file:
            total += next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))
    return total


def processor_time(pid: int) -> float:
    """Seconds that a process's first thread has run on a processor (/proc/PID/schedstat, in nanoseconds)."""
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0]) / 1e9


def pss(pid: int) -> int:
    """Bytes of memory, shared pages divided by the number of their users."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))


def peak_memory(pid: int) -> int:
    """The most bytes of memory that a process had resident so far."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def cpu_seconds(pid: int) -> float:
    """What a process has used of the processors, user and system, all threads (to the nanosecond)."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{task}/schedstat") as file:
            total += int(file.read().split()[0])
    return total / 1e9
