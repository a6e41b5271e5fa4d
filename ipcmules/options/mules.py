"""Mules, farms and workers: how many, what they run, and what ends them."""

from __future__ import annotations

from dataclasses import dataclass

from ipcmules.options import kinds
from ipcmules.options.kinds import Kind, Number
from ipcmules.options.option import OTHER, OURS, SAME, Option, entry
from ipcmules.options.values import Farm, Program

#: As many as the shared table has records for workers (bus/layout.py).
MAX_WORKERS = 256
#: More would need more than the 256 queues a Linux system has by default (fs.mqueue.queues_max).
MAX_MULES = 4096


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Mules:
    """Mules, farms and workers."""

    mules: tuple[Program, ...] = entry(
        (),
        Option(
            "mule",
            Kind(
                "mule", metavar="[=PROGRAM]", many=True, complete="file", argument="int | Sequence[MuleSpec]"
            ),
            "Add a mule, signal-only or running PROGRAM: path.py or package.module:callable. "
            "The value follows an equals sign.",
            SAME,
            argument="mules",
            in_bus="a number of signal-only mules, or a list with one entry a mule: None (signal-only), "
            "'path.py', 'package.module:callable', or any callable (functions and lambdas travel by dill)",
        ),
        Option(
            "mules", Kind("mules", "number", "N", many=True), "Add N signal-only mules.", SAME, argument=""
        ),
    )
    farms: tuple[Farm, ...] = entry(
        (),
        Option(
            "farm",
            Kind(
                "farms",
                metavar="NAME:1,2",
                many=True,
                argument="Mapping[str, Iterable[int]] | None",
                default="None",
            ),
            "Name a group of mules, by their numbers from 1.",
            SAME,
            in_bus="name to the numbers of its mules, from 1",
            more="In TOML: `{NAME = [1, 2]}`.",
        ),
    )
    processes: int = entry(
        0,
        Option(
            "processes",
            Number(highest=MAX_WORKERS),
            "Start N workers that load the app and serve signals.",
            OTHER,
            aliases=("p", "workers"),
            more="In `[uwsgi]` they are the web server's.",
        ),
    )
    harakiri: float = entry(
        0.0,
        Option(
            "mule-harakiri",
            kinds.HARAKIRI,
            "Kill a mule whose message hook or signal handler takes longer.",
            SAME,
            uwsgi_apart="handler_harakiri",
            more="In `[uwsgi]` it guards handlers alone, as in uWSGI.",
        ),
    )
    #: The same of a [uwsgi] section, where it is for handlers alone.
    handler_harakiri: float = entry(0.0, kind=kinds.HARAKIRI)
    max_messages: int = entry(
        0, Option("mule-max-msgs", kinds.COUNT, "Replace a mule after N messages.", OURS)
    )
    mule_hooks: tuple[str, ...] = entry(
        (),
        Option(
            "hook-as-mule",
            Kind("hooks", metavar="KIND:ARG", many=True),
            "Do this in each mule when it starts: exec:COMMAND, print:TEXT, cd:DIR, write:FILE TEXT, ...",
            SAME,
            argument="",
        ),
    )
    worker_hooks: tuple[str, ...] = entry(
        (),
        Option(
            "hook-post-fork",
            Kind("hooks", metavar="KIND:ARG", many=True),
            "The same in each worker, the web server's too, before it serves.",
            SAME,
            argument="",
        ),
    )
