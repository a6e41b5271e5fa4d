"""The floor: a C program that does nothing but mq_send and mq_receive, compiled on the spot."""

from __future__ import annotations

import os
import shutil
import subprocess

from benchmarks.workspace import ROOT, BenchError, Skip, Workspace

SOURCE = ROOT / "benchmarks" / "rawmq.c"


class RawMq:
    """Compiles on entry. Raises Skip where there is no compiler."""

    label = "raw C"

    def __init__(self, work: Workspace) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise Skip("there is no C compiler")
        self._program = os.path.join(work.directory, "rawmq")
        build = [compiler, "-O2", "-o", self._program, str(SOURCE), "-lrt"]
        done = subprocess.run(build, check=False, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise Skip(f"the C compiler failed: {done.stderr.strip().splitlines()[-1:]}")

    def _run(self, *arguments: object) -> float:
        command = [self._program, *(str(each) for each in arguments)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise BenchError(f"rawmq: {done.stderr.strip()}")
        return float(done.stdout)

    def stream(self, depth: int, size: int, count: int) -> float:
        """Messages a second through one queue."""
        return count / self._run("stream", depth, size, count)

    def pingpong(self, size: int, count: int, cores: tuple[int, int]) -> float:
        """Seconds a round trip through two queues, the processes pinned to those cores."""
        return self._run("pingpong", 10, size, count, *cores) / count
