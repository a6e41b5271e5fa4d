"""A reload's rehearsal: what the mules will load after the template is loaded here first, and thrown away.

In a forked child, so that nothing of it stays in the template: with --lazy-apps the app, then what spoolers
import, and the mules' programs, which a mule loads by itself. A program file is read and compiled, not run.
"""

from __future__ import annotations

import os
import signal

from ipcmules.bus.config import BusConfig, Program
from ipcmules.errors import StartError
from ipcmules.kernel import linux, unpatched
from ipcmules.process import apps, failures
from ipcmules.process.mule import programs


def run(config: BusConfig) -> None:
    """Try it. Raises StartError with the traceback of what fails; returns when everything loads."""
    wanted = [each for each in dict.fromkeys(config.mules) if each.kind != "none"]
    if not wanted and not config.lazy_apps and not config.spooler_imports:
        return
    reader, writer = os.pipe()
    parent = os.getpid()
    pid = unpatched.fork()
    if not pid:
        text = "the trial of the new code did not come to its end"
        try:
            linux.die_with_parent(signal.SIGKILL)
            if os.getppid() == parent:
                text = _try(config, wanted)
        finally:
            os.write(writer, b"+" + text.encode(errors="replace"))
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        answer = file.read().decode(errors="replace")
    _pid, status = os.waitpid(pid, 0)
    if answer != "+":
        what = answer[1:] or f"its process ended with wait status {status}"
        raise StartError(f"what the mules load, tried before the reload:\n{what}")


def _try(config: BusConfig, wanted: list[Program]) -> str:
    """'' if all can be loaded, else the traceback of the first that cannot."""
    try:
        if config.lazy_apps:
            apps.load(config)
        for name in config.spooler_imports:
            apps.load_one(name)
        for each in wanted:
            programs.load(each, config)
    except BaseException as error:
        return failures.describe(error)
    return ""
