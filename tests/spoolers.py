"""What tests of spoolers share: a bus with a spool directory, an app that does what its tasks say.

Import it as `from spoolers import Spooling` (pytest puts this directory on sys.path).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import ipcmules
from ipcmules.spooler import attempts, codec, dead_tasks, names, request
from ipcmules.spooler.enqueue import Writer
from ipcmules.spooler.wake import touch
from scripts import write
from support import Launcher, run_cli, wait_until

#: The app: a task's `do` says what its function does; each run is a line in the file that RUNS names.
APP = """
import json, os, signal, sys, time
import ipcmules
from ipcmules.decorators import spool, spoolraw
from ipcmules.spooler import claim

if os.environ.get("YOUTH"):  # how long a file that makes no sense may still be being written
    claim.YOUTH = float(os.environ["YOUTH"])

def note(**what):
    line = json.dumps({"pid": os.getpid(), "time": time.time(), **what}) + "\\n"
    file = os.open(os.environ["RUNS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)

def text(env):
    return {each if isinstance(each, str) else each.decode(): value.decode() for each, value in env.items()}

def run(env):
    task = text(env)
    types = sorted({type(each).__name__ for each in env if each not in ("spooler_task_name", "body")})
    note(task=task, types=types, cwd=os.getcwd(), nice=os.getpriority(os.PRIO_PROCESS, 0))
    do = task.get("do", "ok")
    if do == "raise":
        raise ValueError("no good")
    if do == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "exit":
        sys.exit(3)
    if do == "hang":
        time.sleep(60)
    if do == "wait":  # until the file is there
        while not os.path.exists(task["file"]):
            time.sleep(0.005)
    if do == "slow":
        time.sleep(float(task["seconds"]))
    results = {"again": ipcmules.SPOOL_RETRY, "leave": ipcmules.SPOOL_IGNORE, "odd": "odd"}
    return results.get(do, ipcmules.SPOOL_OK)

if not os.environ.get("NOBODY"):
    ipcmules.set_spooler(run)

@spoolraw(retries=2, backoff=0.02)
def brittle(task):
    note(task=task)
    if task["do"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if task["do"] == "hang":
        time.sleep(60)
    if task["do"] == "again":
        return ipcmules.SPOOL_RETRY
    raise ValueError("brittle as ever")

@spool
def nice(task):
    note(task=task)
"""


class Spooling:
    """A spool directory and an app, below a test's own directory; start() gives a bus."""

    def __init__(self, directory: Path, bus: str) -> None:
        self.bus = bus
        self.home = directory
        self.directory = directory / "spool"
        self.runs_file = directory / "runs"
        self.app = write(directory, "tasks_app.py", APP)
        self._writer = Writer(str(self.directory))

    def start(self, *options: str, **more: Any) -> Launcher:
        """A bus with one spooler directory; options are added."""
        environment = {**os.environ, "RUNS": str(self.runs_file), **more.pop("env", {})}
        return Launcher(
            "--bus",
            more.pop("bus", self.bus),
            "--spooler",
            str(self.directory),
            "--import",
            str(self.app),
            *options,
            cwd=self.home,
            env=environment,
            **more,
        )

    def put(self, **task: Any) -> str:
        """Write a task as a process on no bus does; returns its name."""
        head, body, at, priority, _spooler = request.read(task)
        name = self._writer.put(head, body, at, priority)
        touch(str(self.directory), name)
        return name

    def spool(self, **task: Any) -> str:
        """Enqueue a task through the bus; returns its name."""
        with ipcmules.attach(self.bus) as attached:
            path = attached.spool(task)
        return os.path.relpath(path, self.directory)

    def raw(self, name: str, content: bytes) -> Path:
        """Put a file there as something else does: written elsewhere, then renamed."""
        aside = self.home / "aside"
        aside.write_bytes(content)
        target = self.directory / f"{names.TASK}{name}"
        aside.rename(target)
        return target

    def task(self, **task: bytes | str) -> bytes:
        """A task's content."""
        return codec.pack(task)

    def runs(self) -> list[dict[str, Any]]:
        """What was run, in order."""
        try:
            content = self.runs_file.read_text()
        except FileNotFoundError:
            return []
        # A line may be being written just now.
        return [json.loads(each) for each in content[: content.rfind("\n") + 1].splitlines()]

    def ran(self) -> list[str]:
        """The `key` of each task that was run, in order."""
        return [each["task"].get("key", "") for each in self.runs()]

    def wait_runs(self, count: int, seconds: float = 20) -> list[dict[str, Any]]:
        """Wait until so many runs have begun."""
        return wait_until(
            lambda: found if len(found := self.runs()) >= count else None, seconds, f"{count} runs"
        )

    def tasks(self) -> list[str]:
        """The names of the tasks in the directory, those with a priority too."""
        found = [path.relative_to(self.directory) for path in self.directory.rglob(f"{names.TASK}*")]
        return sorted(str(each) for each in found if each.parts[0] != names.DEAD)

    def wait_empty(self, seconds: float = 20) -> None:
        """Wait until every task is done."""
        wait_until(lambda: not self.tasks(), seconds, "an empty spool directory")

    def dead(self) -> dict[str, attempts.Record]:
        """What is in dead/, with what is said of it."""
        where = str(self.directory)
        return {each: dead_tasks.read(where, each).record for each in dead_tasks.listing(where)}

    def record(self, name: str) -> attempts.Record:
        """What is known of a task's failures."""
        return attempts.load(str(self.directory / name))

    def ours(self) -> list[str]:
        """Files of ours in the directory but for what the living have in hand."""
        return sorted(
            path.name for path in self.directory.rglob(f"{names.OURS}*") if path.parent.name != names.DEAD
        )

    def status(self) -> dict[str, Any]:
        """`ipcmules status --json`."""
        found: dict[str, Any] = json.loads(run_cli("status", "--bus", self.bus, "--json").stdout)
        return found
