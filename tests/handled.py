"""What tests of handles and results share: an app whose functions keep results, and a bus that runs it.

Import it as `from handled import Handled` (pytest puts this directory on sys.path).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import ipcmules
from scripts import write
from spoolers import Spooling
from support import Launcher

APP = """
import os, signal, time
import ipcmules
from ipcmules import Drop, Retry, current_task
from ipcmules.decorators import spool, task_hook
from tasks_app import note

def gate(name="go"):
    until = time.monotonic() + 30
    while not os.path.exists(name) and time.monotonic() < until:
        time.sleep(0.005)

@spool(pass_arguments=True, results=600)
def give(value):
    note(task={"key": "give"})
    return value

@spool(pass_arguments=True, results=600)
def lend(what):
    return {"tuple": (1, 2), "function": lambda: 0, "large": "x" * (2 << 20), "set": {1}}[what]

@spool(pass_arguments=True)
def quiet(value):
    return value

@spool(pass_arguments=True, results=600, retries=1, backoff=0.02)
def fails(text):
    note(task={"key": "fails"})
    raise ValueError(text)

@spool(pass_arguments=True, retries=3, backoff=600)
def fails_slowly():
    note(task={"key": "fails_slowly"})
    raise ValueError("slowly")

@spool(pass_arguments=True, results=600, retries=3, backoff=0.02)
def waits():
    note(task={"key": "waits"})
    current_task().progress(1, 3, "begun")
    gate()
    current_task().progress(3, 3, "ended")
    return "waited"

@spool(pass_arguments=True, results=600, retries=3, backoff=0.02)
def polite():
    note(task={"key": "polite"})
    while not current_task().stopping():
        time.sleep(0.005)
    raise ValueError("stopped")

@spool(pass_arguments=True, results=600, retries=3, backoff=0.02)
def stubborn():
    note(task={"key": "stubborn"})
    time.sleep(600)

@spool(pass_arguments=True, results=600)
def tells(key):
    task = current_task()
    return {"id": task.id, "attempt": task.attempt, "function": task.function, "path": task.path,
            "enqueued": task.enqueued, "stopping": task.stopping()}

@spool(pass_arguments=True, results=600)
async def gathers():
    return current_task().function

@spool(pass_arguments=True, results=600, retries=2, backoff=600)
def once_more(path):
    note(task={"key": "once_more"})
    if not os.path.exists(path):
        open(path, "w").close()
        raise Retry(after=0.05, reason="not yet")
    return current_task().attempt

@spool(pass_arguments=True, results=600, retries=0)
def never_again():
    raise Retry(after=0)

@spool(pass_arguments=True, results=600)
def uncounted(path):
    if not os.path.exists(path):
        open(path, "w").close()
        raise Retry(after=0.05)
    return current_task().attempt

@spool(pass_arguments=True, results=600)
def drops(how):
    if how == "raise":
        raise Drop("no such user")

@spool(pass_arguments=True, results=600, drop_on=KeyError, retry_on=(OSError,), retries=1, backoff=0.02)
def picky(what):
    note(task={"key": what})
    raise {"key": KeyError, "os": OSError, "value": ValueError}[what](what)

@spool(pass_arguments=True, results=600, soft_timeout=0.1, timeout=20, retries=0)
def soft():
    time.sleep(15)

@spool(pass_arguments=True, results=600, timeout=0.2, retries=0)
def hard():
    time.sleep(600)

@spool(pass_arguments=True, results=600, retries=4, backoff=0.1, jitter=True)
def trembles():
    raise ValueError("trembles")

@spool(pass_arguments=True, results=600, expires=60)
def fresh(value):
    note(task={"key": "fresh"})
    return value

def say(what):
    def hook(task, *about):
        note(task={"key": what, "id": task.id, "about": repr(about)})
        if what == "after" and about == ("break",):
            raise ValueError("a hook that breaks")
    return hook

@spool(pass_arguments=True, results=600, retries=1, backoff=0.02, before=say("before"), after=say("after"),
       failed=say("failed"), dead=say("dead"))
def hooked(value):
    if value == "raise":
        raise ValueError("hooked")
    return value

if os.environ.get("HOOKS"):
    @task_hook("after")
    def everywhere(task, returned):
        note(task={"key": "everywhere", "about": task.function})
"""


class Handled(Spooling):
    """With an app of functions that keep results; call() enqueues off the bus."""

    def __init__(self, directory: Path, bus: str) -> None:
        super().__init__(directory, bus)
        write(directory, "handled_app.py", APP)

    def start(self, *options: str, **more: Any) -> Launcher:
        # Not nice: on a busy machine a test would wait for its spooler longer than it does anything.
        ours = ("--import", "handled_app", "--spooler-frequency", "0.2", "--spooler-nice", "0")
        return super().start(*ours, *options, **more)

    def call(self, function: str, *args: Any, **envelope: Any) -> ipcmules.Task:
        """Enqueue a call as a process on no bus does, and return its handle."""
        import pickle

        self.directory.mkdir(exist_ok=True)
        packed = {"args": pickle.dumps(args), "kwargs": pickle.dumps({})}
        name = self.put(ud_spool_func=function, ud_spool_ret="-2", **packed, **envelope)
        return ipcmules.task(f"{self.directory}/{name}")

    def ask(self, program: str, **environment: str) -> str:
        """What a program prints that is run where the app is, with more variables of its environment."""
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=self.home,
            env={**os.environ, "RUNS": str(self.runs_file), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def result_files(self) -> dict[str, dict[str, Any]]:
        """The first lines of the files in results/, by their names."""
        found = {}
        for each in sorted((self.directory / "results").glob("*")):
            found[each.name] = json.loads(each.read_bytes().partition(b"\n")[0])
        return found
