"""What raising a signal costs, and how long one waits behind messages."""

from __future__ import annotations

from benchmarks.peers.ipcmules_bus import IpcmulesBus
from benchmarks.peers.uwsgi_server import UwsgiServer
from benchmarks.rows import Bench, Row, absolute, duration, interleave, seconds, skipped, versus
from benchmarks.workspace import Skip

#: Registers signal 17 for mule 2.
APP = "benchmarks.programs.signal_app"
SLOW_MULE = "benchmarks/programs/slow_mule.py"
WAITING = 115


def run_raise(bench: Bench) -> list[Row]:
    label = "raising a signal (bursts of 50)"
    bursts = bench.scaled(60)
    try:
        with (
            IpcmulesBus(1, "--mule", "--import", APP) as ours,
            UwsgiServer(1, "--mule", "--shared-import", APP) as uwsgi,
        ):
            for side in (ours, uwsgi):
                if not side.agents[1].call("registered", 17):
                    raise RuntimeError(f"signal 17 is not registered in {side.label}")
            samples = interleave(
                {
                    "ipcmules": lambda: float(ours.agents[1].call("raise_signals", 17, bursts, 50)),
                    "uWSGI": lambda: float(uwsgi.agents[1].call("raise_signals", 17, bursts, 50)),
                },
                bench.rounds,
            )
    except Skip as skip:
        return [skipped(label, str(skip))]
    return [versus(label, "uWSGI", samples["ipcmules"], samples["uWSGI"], duration, at_most=1)]


def run_behind(bench: Bench) -> list[Row]:
    """A signal raised while messages with 10 ms handlers wait in the mule: the worst of the rounds."""
    worst = 0.0
    with IpcmulesBus(1, f"--mule={SLOW_MULE}") as bus:
        slow = bus.work.agent("slow")
        for round_number in range(min(bench.rounds, 5)):
            raised = bus.agents[1].call("raise_at", 20, 2, WAITING, 0.03 + 0.013 * round_number)
            worst = max(worst, slow.answer() - raised)
            drained = slow.answer()
            if drained != WAITING:
                raise RuntimeError(f"{drained} of {WAITING} messages were handled")
    return [
        absolute(
            f"a signal behind {WAITING} messages of 10 ms, worst", seconds(worst), "<= 25 ms", worst <= 0.025
        )
    ]
