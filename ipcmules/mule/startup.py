"""What --hook-as-mule says, done in each mule when it starts, before the app's post-fork functions.

Of uWSGI's hooks those that need no uWSGI (core/hooks.c): exec:COMMAND, print:TEXT, cd:DIRECTORY and
write:FILE TEXT. A hook that fails ends the mule, as there.
"""

from __future__ import annotations

import os
import subprocess

from ipcmules.config import BusConfig


def run(config: BusConfig) -> None:
    """Run the hooks, in order. Raises OSError, or RuntimeError for a command that fails."""
    for hook in config.mule_hooks:
        kind, _, argument = hook.partition(":")
        if kind == "exec":
            code = subprocess.call(argument, shell=True, stdin=subprocess.DEVNULL)
            if code:
                raise RuntimeError(f"--hook-as-mule {hook}: the command ended with code {code}")
        elif kind == "print":
            print(argument, flush=True)
        elif kind == "cd":
            os.chdir(argument)
        else:
            name, _, text = argument.partition(" ")
            with open(name, "w", encoding="utf-8") as file:
                file.write(text)
