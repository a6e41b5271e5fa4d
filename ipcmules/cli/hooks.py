"""Runs hook-* and exec-* of start and end, in the launcher, at the moments that uWSGI has for them."""

from __future__ import annotations

import os
import sys

from ipcmules.cli.options import Given
from ipcmules.errors import ConfigError
from ipcmules.process import actions


def before_user(given: Given) -> None:
    """Those as soon as possible; as root also those before it becomes another user. Raises ConfigError."""
    _run(given, "hooks_asap", "hook-asap")
    if os.geteuid() == 0:  # else uWSGI runs none of them
        _run(given, "hooks_as_root", "hook-as-root")
        given.replace("was_root", True)


def before_app(given: Given, directory: str) -> None:
    """Those of the user, then those before the app is loaded, in its directory. Raises ConfigError."""
    here = os.getcwd()
    os.chdir(directory)
    try:
        if given.get("was_root", False):
            _run(given, "hooks_as_user", "hook-as-user")
        _run(given, "hooks_before", "hook-pre-app")
    finally:
        os.chdir(here)


def after_app(given: Given, directory: str) -> None:
    """Those of a bus that is ready. The master does not wait: a child runs them and logs what fails."""
    if not given.get("hooks_after", ()):
        return
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork() == 0:
        code = 1
        try:
            os.setpgid(0, 0)
            os.chdir(directory)
            _run(given, "hooks_after", "hook-post-app")
            code = 0
        except (ConfigError, OSError) as error:
            os.write(2, f"ipcmules: error: {error}\n".encode())
        finally:
            os._exit(code)


def at_exit(given: Given, directory: str) -> None:
    """Those of the end. What fails is said, and the next one runs."""
    for hook in given.get("hooks_at_exit", ()):
        try:
            os.chdir(directory)
            actions.run(hook, "hook-as-user-atexit")
        except (OSError, ValueError, RuntimeError) as error:
            print(f"ipcmules: error: hook-as-user-atexit {hook}: {error}", file=sys.stderr)


def _run(given: Given, field: str, origin: str) -> None:
    for hook in given.get(field, ()):
        try:
            actions.run(hook, origin)
        except (OSError, ValueError, RuntimeError) as error:
            text = str(error) if isinstance(error, RuntimeError) else f"{origin} {hook}: {error}"
            raise ConfigError(f"{text}: mend it, or remove the hook") from error
