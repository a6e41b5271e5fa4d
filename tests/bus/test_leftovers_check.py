"""The check that every other test relies on: it finds all of a bus, and nobody else's processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import leftovers
from conftest import BusEnvironment
from support import Launcher, run_cli, wait_until


def test_every_process_of_a_bus_is_found(bus_env: BusEnvironment, bus_name: str) -> None:
    with Launcher("--bus", bus_name, "--mules", "2", "-p", "1", command=["sleep", "60"]) as launcher:
        found = json.loads(run_cli("status", "--json", "--bus", bus_name).stdout)
        expected = {launcher.pid, *(each["pid"] for each in found["mules"] + found["workers"])}
        pids = set(leftovers.processes(bus_env.runtime))
        assert expected < pids
        assert len(pids) == len(expected) + 3, "the template, the command and its guard"
    assert leftovers.processes(bus_env.runtime) == []


def test_who_only_looks_is_left_alone(bus_env: BusEnvironment) -> None:
    bus_env.runtime.mkdir(mode=0o700)
    (bus_env.runtime / "bus.json").write_text("{}")
    code = (
        "import os, sys, time\nfiles = [os.open(path, os.O_RDONLY) for path in sys.argv[1:]]\n"
        "print(flush=True)\n"
    )
    others = {name: value for name, value in os.environ.items() if name not in bus_env}
    command = [
        sys.executable,
        "-c",
        code + "time.sleep(60)",
        str(bus_env.runtime),
        f"{bus_env.runtime}/bus.json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=others) as looker:
        assert looker.stdout and looker.stdout.readline() == b"\n"
        assert leftovers.processes(bus_env.runtime) == []
        assert leftovers.end_processes(bus_env.runtime, grace=0) == []
        assert looker.poll() is None
        looker.kill()
    (bus_env.runtime / "bus.json").unlink()


def test_objects_of_a_killed_bus_are_found_and_removed(bus_env: BusEnvironment, bus_name: str) -> None:
    seen = bus_env.directory.parent / "seen"

    def watched() -> bool:
        lines = [json.loads(line) for line in seen.read_text().splitlines()] if seen.exists() else []
        return any(each["bus"] == bus_name and each["data"]["complete"] for each in lines)

    with Launcher("--bus", bus_name, "--mules", "1", "--locks", "1") as launcher:
        wait_until(watched, what="the watcher's look at the description")
        launcher.process.send_signal(signal.SIGKILL)
        launcher.wait()
    wait_until(lambda: not leftovers.processes(bus_env.runtime), what="the mules' end")
    left = leftovers.remove_objects(bus_env.runtime, seen)
    kinds = sorted({each.partition(" ")[0] for each in left})
    assert kinds == ["file", "queue", "segment", "semaphore"]
    assert [
        each for each in leftovers.remove_objects(bus_env.runtime, seen) if not each.startswith("file")
    ] == []
    bus_env.may_leave_objects("the files of the killed master are still there")
