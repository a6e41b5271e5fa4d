"""The spooler: whose tasks are run here, by how many processes, and when one has failed for good."""

from __future__ import annotations

from dataclasses import dataclass

from ipcmules.options import kinds
from ipcmules.options.kinds import Kind, Number, Seconds
from ipcmules.options.option import OURS, SAME, Option, entry
from ipcmules.options.values import SpoolDir

MAX_SPOOLERS = 4096


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Spooler:
    """The spooler."""

    spoolers: tuple[SpoolDir, ...] = entry(
        (),
        Option(
            "spooler",
            Kind(
                "spooler",
                metavar="DIR|NAME:N",
                many=True,
                complete="dir",
                argument="Sequence[str | os.PathLike[str]]",
                example="tasks",
            ),
            "Run the tasks of a spool directory; NAME:N is the queue NAME with N spoolers (NAME:N,path=DIR).",
            SAME,
            aliases=("Q",),
            more="The first one is the default of `spool()` ([the spooler](spooler.md)).",
        ),
        Option(
            "spooler-external",
            Kind(
                "external spooler",
                metavar="DIR",
                many=True,
                complete="dir",
                argument="Sequence[str | os.PathLike[str]]",
                example="tasks",
            ),
            "Enqueue to a directory whose tasks somebody else runs.",
            SAME,
            argument="spoolers_external",
        ),
    )
    spooler_processes: int = entry(
        1,
        Option(
            "spooler-processes", Number(lowest=1, highest=MAX_SPOOLERS), "Spoolers of each directory.", SAME
        ),
    )
    spooler_frequency: float = entry(
        30.0,
        Option(
            "spooler-frequency",
            Seconds(highest=1e9, above=True, says="more than 0", example="30"),
            "How often to look into the directories; tasks of the bus start at once, whatever it is.",
            SAME,
            aliases=("spooler-freq",),
        ),
    )
    spooler_ordered: bool = entry(
        False,
        Option(
            "spooler-ordered",
            kinds.FLAG,
            "Take tasks by priority, lowest first, then by time, even while no task has a priority.",
            SAME,
        ),
    )
    spooler_chdir: str = entry(
        "", Option("spooler-chdir", kinds.DIRECTORY, "Run tasks in DIR instead of their own directory.", SAME)
    )
    spooler_imports: tuple[str, ...] = entry(
        (),
        Option(
            "spooler-import",
            kinds.MODULES,
            "Load a part of the app in spoolers alone.",
            SAME,
            file_names=("spooler-pyimport", "spooler-py-import", "spooler-python-import"),
        ),
    )
    spooler_quiet: bool = entry(
        False, Option("spooler-quiet", kinds.FLAG, "Write no line in the log for each task.", SAME)
    )
    spooler_max_tasks: int = entry(
        0, Option("spooler-max-tasks", kinds.COUNT, "Replace a spooler after N tasks.", SAME)
    )
    spooler_async: int = entry(
        1,
        Option(
            "spooler-async",
            Number(lowest=1, highest=10_000),
            "Run up to N coroutines (`async def` tasks) at once in each spooler.",
            OURS,
        ),
    )
    spooler_signal_as_task: bool = entry(
        False,
        Option(
            "spooler-signal-as-task",
            kinds.FLAG,
            "With --spooler-max-tasks: a signal that is handled counts as a task.",
            OURS,
        ),
    )
    spooler_harakiri: float = entry(
        0.0,
        Option(
            "spooler-harakiri",
            kinds.HARAKIRI,
            "Kill a spooler whose task takes longer; that is a failed attempt.",
            SAME,
        ),
    )
    spooler_cheap: bool = entry(
        False, Option("spooler-cheap", kinds.FLAG, "Have spoolers only while there is something to do.", OURS)
    )
    spooler_nice: int = entry(
        19, Option("spooler-nice", Number(lowest=-20, highest=19), "Niceness of spoolers, as nice(1).", OURS)
    )
    spooler_fsync: bool = entry(
        False,
        Option(
            "spooler-fsync", kinds.FLAG, "A call that enqueues returns when its task is on the disk.", OURS
        ),
    )
    spooler_max_attempts: int = entry(
        25,
        Option(
            "spooler-max-attempts",
            Number(highest=2**31),
            "A task is dead after so many failed attempts; 0: never.",
            OURS,
        ),
    )
    touch_spoolers_reload: tuple[str, ...] = entry(
        (),
        Option(
            "touch-spoolers-reload",
            kinds.FILES,
            "Reload the app in spoolers alone when FILE is touched.",
            SAME,
            argument="",
        ),
    )
