"""Buses with a spooler of the cluster, which stand for hosts, and processes on them, for tests.

`from clustertasks import host, call, enqueue, status, work`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import psutil

from natsservers import SMALL, Servers, cluster_of
from scripts import write
from support import Launcher

APP = """
    import os, time
    from ipcmules import Drop, Retry, current_task
    from ipcmules.decorators import spool

    HOST = os.environ.get("IPCMULES_BUS", "").rpartition("-")[2]

    @spool(pass_arguments=True, results=60, retries=2, backoff=0.2)
    def work(name, until="", fail=0, kill=False, sleep=0.0):
        attempt = current_task().attempt
        print(f"begun {name} {attempt} {HOST}", flush=True)
        if kill and attempt == 1:
            os.kill(os.getpid(), 9)
        while until and not os.path.exists(until):
            if current_task().stopping() and name == "cancelled":
                return None
            time.sleep(0.01)
        time.sleep(sleep)
        if attempt <= fail:
            raise ValueError(f"{name} fails")
        print(f"done {name} {attempt} {HOST}", flush=True)
        return [name, HOST]

    @spool(pass_arguments=True, unique="only-{name}", results=60)
    def only(name, until=""):
        print(f"begun only-{name}", flush=True)
        while until and not os.path.exists(until):
            time.sleep(0.01)
        print(f"done only-{name}", flush=True)

    @spool(pass_arguments=True, unique="start-{name}", unique_until="started", results=60)
    def start(name, until=""):
        print(f"begun start-{name}", flush=True)
        while until and not os.path.exists(until):
            time.sleep(0.01)

    @spool(pass_arguments=True, rate="5/m")
    def limited():
        pass
"""

CALL = """
    import sys, time
    sys.path.insert(0, {directory!r})
    import ipcmules, jobs
    def value(task):
        return task.result(30)
    {code}
"""


def host(
    tmp_path: Path, bus: str, name: str, found: Servers, *options: str, count: int = 1, app: str = "jobs"
) -> Launcher:
    """A bus with so many spoolers of 'mail', as one of the hosts."""
    write(tmp_path, "jobs.py", APP)
    return Launcher(
        *("--bus", f"{bus}-{name}", "--import", app, *SMALL),
        *("--cluster", found.urls, "--host", name, "--cluster-spooler", f"mail:{count}", *options),
        cwd=tmp_path,
    )


def call(tmp_path: Path, bus: str, code: str) -> str:
    """What some code prints in a process on a bus."""
    text = textwrap.dedent(CALL.format(directory=str(tmp_path), code="")) + textwrap.dedent(code)
    environment = {**os.environ, "IPCMULES_BUS": bus}
    ran = subprocess.run(
        [sys.executable, "-c", text],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def enqueue(tmp_path: Path, bus: str, *calls: str) -> list[str]:
    """Enqueue tasks from a process on a bus; their handles."""
    code = "\n".join(f"print(str({each}))" for each in calls)
    return call(tmp_path, bus, code).split()


def status(tmp_path: Path, bus: str, handle: str) -> str:
    """How a task stands, as a process of a bus sees it."""
    return call(tmp_path, bus, f"print(ipcmules.task({handle!r}).status())").strip()


def work(name: str, **more: object) -> str:
    """A call of work(), as text."""
    return f"jobs.work({name!r}, spooler='mail', **{more!r})"


def stored(bus: str) -> int | None:
    """How many tasks the cluster has."""
    seen = cluster_of(bus)
    found: int | None = seen and seen["cluster"]["spoolers"]["mail"]["stored"]
    return found


def kill_host(launcher: Launcher) -> None:
    """SIGKILL for all processes of a bus."""
    everybody = [psutil.Process(launcher.pid), *psutil.Process(launcher.pid).children(recursive=True)]
    for each in everybody:
        each.kill()
    psutil.wait_procs(everybody, 10)


def done(*launchers: Launcher) -> Counter[str]:
    """How often which task was done."""
    lines = "".join(each.stdout for each in launchers).splitlines()
    return Counter(line.split()[1] for line in lines if line.startswith("done "))
