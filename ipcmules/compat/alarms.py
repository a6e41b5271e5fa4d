"""uwsgi.alarm(NAME, text): what --alarm 'NAME KIND:ARGUMENT' says, done in the calling process.

Kinds: cmd (a shell command, the text on its stdin), signal (a number, raised), mule (a number; 0 or blank:
the
first available one), log (into the log).
"""

from __future__ import annotations

import subprocess
import threading

from ipcmules.api import messages, signals
from ipcmules.bus import log
from ipcmules.compat import state
from ipcmules.errors import IpcMulesError


def trigger(name: str, message: bytes) -> None:
    """Do what the alarms of this name say. An unknown name, and what fails, is logged and not raised."""
    found = state.config()
    alarms = [each.strip().partition(" ") for each in (found.alarms if found is not None else ())]
    matching = [what.strip() for known, _, what in alarms if known == name]
    if not matching:
        log.event("warning", f"uwsgi.alarm({name!r}): there is no such alarm: add --alarm '{name} log:'")
    for what in matching:
        kind, _, argument = what.partition(":")
        try:
            _run(kind, argument.strip(), message)
        except (IpcMulesError, OSError, ValueError) as error:
            log.event("error", f"alarm {name!r} ({what}) failed: {error}")


def _run(kind: str, argument: str, message: bytes) -> None:
    if kind == "cmd":
        # Not in the caller's time; the thread ends with the command, and the process waits for it.
        threading.Thread(target=_command, args=(argument, message), name="ipcmules-alarm").start()
    elif kind == "signal":
        signals.signal(int(argument))
    elif kind == "mule":
        if not messages.mule_msg(message, int(argument or 0), timeout=0):
            log.event("warning", "an alarm's message was dropped: the mule's queue is full")
    else:
        log.event("warning", f"alarm{f' {argument}' if argument else ''}: {message.decode(errors='replace')}")


def _command(argument: str, message: bytes) -> None:
    done = subprocess.run(argument, shell=True, input=message, check=False)
    if done.returncode:
        log.event("error", f"the alarm's command {argument!r} ended with {done.returncode}")
