"""The options of spoolers, for the commands that describe a bus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

#: Option, metavar ('' for a flag), whether it can be given again, help.
_OPTIONS: tuple[tuple[tuple[str, ...], str, bool, str], ...] = (
    (("-Q", "--spooler"), "DIR", True, "Run the tasks of a spool directory."),
    (("--spooler-external",), "DIR", True, "Enqueue to a directory whose tasks somebody else runs."),
    (("--spooler-processes",), "N", False, "Spoolers of each directory [default: 1]."),
    (
        ("--spooler-frequency", "--spooler-freq"),
        "SECONDS",
        False,
        "Look at directories that often without being told [default: 30].",
    ),
    (("--spooler-ordered",), "", False, "Take tasks by name, numbered subdirectories first."),
    (("--spooler-chdir",), "DIR", False, "Run tasks in DIR instead of their own directory."),
    (("--spooler-import",), "MODULE|FILE", True, "Load a part of the app in spoolers alone."),
    (("--spooler-quiet",), "", False, "Don't log each task."),
    (("--spooler-max-tasks",), "N", False, "Replace a spooler after N tasks."),
    (("--spooler-signal-as-task",), "", False, "A signal counts as a task."),
    (("--spooler-harakiri",), "SECONDS", False, "Kill a spooler whose task takes longer."),
    (("--spooler-cheap",), "", False, "Have spoolers only while there is something to do."),
    (("--spooler-nice",), "N", False, "Niceness of spoolers [default: 19]."),
    (("--spooler-fsync",), "", False, "Enqueued means on the disk."),
    (
        ("--spooler-max-attempts",),
        "N",
        False,
        "A task that failed so often goes to dead/, 0: never [default: 25].",
    ),
    (("--touch-spoolers-reload",), "FILE", True, "Reload the spoolers when FILE is touched."),
)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add them to a command. Values stay text: options.py reads them, for files as well."""
    for names, metavar, many, text in reversed(_OPTIONS):
        # The name options.py knows it by.
        parameter = next(each for each in names if each.startswith("--"))[2:].replace("-", "_")
        if metavar:
            add = click.option(*names, parameter, metavar=metavar, multiple=many, help=text)
        else:
            add = click.option(*names, parameter, is_flag=True, help=text)
        command = add(command)
    return command
