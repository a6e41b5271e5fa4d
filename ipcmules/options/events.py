"""Signals and events: crons, timers and monitors that options ask for."""

from __future__ import annotations

from dataclasses import dataclass

from ipcmules.options import kinds
from ipcmules.options.kinds import Kind
from ipcmules.options.option import SAME, WORD, Option, entry
from ipcmules.options.values import CronCommand, SignalEvent

#: What an alarm can do (--alarm NAME KIND:ARGUMENT).
ALARMS = ("cmd", "signal", "mule", "log")


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Events:
    """Signals and events."""

    crons: tuple[CronCommand, ...] = entry(
        (),
        Option(
            "cron",
            Kind(
                "cron",
                metavar="'MIN HOUR DAY MONTH WDAY COMMAND'",
                many=True,
                argument="Sequence[str | CronCommand]",
            ),
            "Run COMMAND at these times: numbers (-1 any, -5 every fifth) or a crontab expression.",
            SAME,
            in_bus="commands to run at certain times, each as --cron has it, or a config.CronCommand",
            more="[Fields](reference/events.md#cron-fields-and-expressions)",
        ),
        Option(
            "cron2",
            Kind("cron2", metavar="'[KEY=VALUE,...] COMMAND'", many=True),
            "The same in uWSGI's other form: minute, hour, day, month, week, unique, harakiri.",
            SAME,
            argument="",
        ),
        Option(
            "unique-cron",
            Kind("unique cron", metavar="'MIN ... COMMAND'", many=True),
            "As --cron, not while the former is running.",
            SAME,
            argument="",
        ),
    )
    cron_harakiri: float = entry(
        0.0,
        Option(
            "cron-harakiri",
            kinds.HARAKIRI,
            "Kill a --cron command that takes longer.",
            SAME,
            more="`harakiri=` of `--cron2` goes before it.",
        ),
    )
    signal_events: tuple[SignalEvent, ...] = entry(
        (),
        Option(
            "signal-timer",
            Kind("signal timer", metavar="'N SECONDS'", many=True),
            "Raise signal N every SECONDS seconds.",
            SAME,
            aliases=("timer",),
            argument="",
        ),
        Option(
            "signal-rbtimer",
            Kind("signal rbtimer", metavar="'N SECONDS [TIMES]'", many=True),
            "Raise signal N every SECONDS seconds, TIMES times.",
            SAME,
            aliases=("rbtimer",),
            argument="",
        ),
        Option(
            "touch-signal",
            Kind("touch signal", metavar="'FILE N'", many=True),
            "Raise signal N when FILE is touched, changed or made.",
            SAME,
            argument="",
        ),
        Option(
            "fs-signal",
            Kind("file signal", metavar="'PATH N'", many=True),
            "Raise signal N at any change of a file or directory, its end too.",
            SAME,
            argument="",
        ),
    )
    on_alarm: tuple[str, ...] = entry(
        (),
        Option(
            "on",
            Kind("alarm commands", metavar="KIND=CMD", many=True),
            "Run CMD when task_dead, mule_died, queue_full ... happens, once a minute at most.",
            WORD,
            argument="",
            more="[Alarms](monitoring.md#alarms)",
        ),
    )
    alarms: tuple[str, ...] = entry(
        (),
        Option(
            "alarm",
            Kind("alarms", metavar="'NAME KIND:ARG'", many=True),
            "What uwsgi.alarm(NAME, text) does: cmd:COMMAND (text on its stdin), signal:N, mule:N, log:.",
            SAME,
            argument="",
        ),
    )
