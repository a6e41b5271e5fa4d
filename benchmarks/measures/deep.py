"""The same at fs.mqueue.msg_max 1000, beside the raw C loop at that depth.

The limit is raised in an IPC namespace of its own, in a process of its own: this module run as a
program is that process. Nothing outside it sees the change.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from benchmarks.peers.ipcmules_bus import IpcmulesBus
from benchmarks.peers.rawmq import RawMq
from benchmarks.peers.side import stream
from benchmarks.rows import Bench, Row, interleave, rate, skipped, versus
from benchmarks.workspace import ROOT, Skip, Workspace, base_environment, die_with_driver

LABEL = "64 B at msg_max 1000"
DEPTH, SIZE = 1000, 64
#: Bytes of message queues the namespace's user may have there.
ALLOWANCE = 64 * 1024 * 1024


def run(bench: Bench) -> list[Row]:
    unshare = shutil.which("unshare")
    if unshare is None:
        return [skipped(LABEL, "there is no unshare")]
    flags = ["--quick"] if bench.quick else []
    module = [sys.executable, "-m", "benchmarks.measures.deep", "--rounds", str(bench.rounds)]
    child = subprocess.Popen(
        [unshare, "--ipc", *module, *flags], cwd=ROOT, env=base_environment(),
        text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=die_with_driver,  # noqa: PLW1509 - the driver has no threads
    )  # fmt: skip
    try:
        output, errors = child.communicate(timeout=120)
    except BaseException:
        child.terminate()
        child.wait(20)
        raise
    reason = (errors.strip().splitlines() or ["no result"])[-1]
    if child.returncode:
        return [skipped(LABEL, f"not permitted: {reason}" if "ermi" in reason else reason)]
    samples = json.loads(output)
    return [versus(LABEL, "raw C", samples["ipcmules"], samples["raw C"], rate, at_least=0.6)]


def raise_limits() -> None:
    """Raises OSError where the depth may not be raised. The bytes are raised only where that is permitted:
    both sides fit into the default limit, too.
    """
    Path("/proc/sys/fs/mqueue/msg_max").write_text(f"{DEPTH}\n")
    with contextlib.suppress(ValueError):
        # resource has no name for it; the number is the kernel's (asm-generic/resource.h).
        resource.setrlimit(getattr(resource, "RLIMIT_MSGQUEUE", 12), (ALLOWANCE, ALLOWANCE))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    bench = Bench(options.rounds, options.quick)
    try:
        raise_limits()
        with Workspace("rawmq") as work, IpcmulesBus(2) as ours:
            raw = RawMq(work)
            samples = interleave(
                {
                    "ipcmules": lambda: stream(ours, SIZE, bench.scaled(300_000)),
                    "raw C": lambda: raw.stream(DEPTH, SIZE, bench.scaled(300_000)),
                },
                bench.rounds,
            )
    except (Skip, PermissionError) as error:
        print(error, file=sys.stderr)
        return 1
    json.dump(samples, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
