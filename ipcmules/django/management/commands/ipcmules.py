"""`manage.py ipcmules COMMAND ...`: the launcher's commands, with this project's settings and tasks.

    python manage.py ipcmules run --spooler tasks -- gunicorn shop.wsgi
    python manage.py ipcmules status
    python manage.py ipcmules tasks list --state dead

`run` and `tasks run` load the project by themselves (--import ipcmules.django.project). The launcher is a
process of its own, as it loads no app and no Django.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

_PROJECT = ("--import", "ipcmules.django.project")
#: Options of every command of Django's: they have been read when this runs.
_OURS = ("--settings", "--pythonpath")


class Command(BaseCommand):  # type: ignore[misc] # Django has no types
    """See Django's BaseCommand."""

    help = "Run, look at and mend the bus and its tasks: as `ipcmules`, with this project loaded."
    #: The launcher's processes check what they load.
    requires_system_checks: tuple[str, ...] = ()

    def run_from_argv(self, argv: list[str]) -> None:
        """Become the launcher: nothing of its command line is Django's but --settings and --pythonpath."""
        command = _command(_without_ours(argv[2:]))
        os.execve(command[0], command, _environment())

    def add_arguments(self, parser: Any) -> None:
        """For call_command()."""
        parser.add_argument("arguments", nargs="*")

    def handle(self, *_: Any, arguments: list[str], **options: Any) -> None:
        """Run the launcher to its end, for call_command(). Raises CommandError unless it ends with 0."""
        done = subprocess.run(_command(list(arguments)), env=_environment(), check=False)
        if done.returncode:
            raise CommandError(f"ipcmules ended with {done.returncode}", returncode=done.returncode)


def _without_ours(arguments: list[str]) -> list[str]:
    """Without Django's own options, up to the command that `run` starts."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    kept: list[str] = []
    given = iter(arguments[:end])
    for each in given:
        if each in _OURS:
            next(given, None)
        elif not each.startswith(tuple(f"{option}=" for option in _OURS)):
            kept.append(each)
    return kept + arguments[end:]


def _command(arguments: list[str]) -> list[str]:
    at = 1 if arguments[:1] == ["run"] else 2 if arguments[:2] == ["tasks", "run"] else 0
    if at:
        arguments = [*arguments[:at], *_PROJECT, *arguments[at:]]
    return [sys.executable, "-m", "ipcmules", *arguments]


def _environment() -> dict[str, str]:
    """With the settings, and with what manage.py could import: its directory."""
    paths = [os.path.abspath(each) for each in sys.path[:1]]
    before = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": settings.SETTINGS_MODULE,
        "PYTHONPATH": os.pathsep.join([*paths, *([before] if before else [])]),
    }
