"""Decorators for what an app hands to its mules, workers and spoolers; names and use as in uwsgidecorators.

Public. Each stands in the file of its subject: mules, times, tasks. May know the api and all below.
"""

from __future__ import annotations

from ipcmules.bus.alarms import Alarm
from ipcmules.decorators.alarms import on
from ipcmules.decorators.manners import task_hook
from ipcmules.decorators.mules import (
    farm,
    harakiri,
    lock,
    mule,
    mulefunc,
    muleloop,
    mulemsg,
    postfork,
    signal,
    signal_number,
    thread,
)
from ipcmules.decorators.tasks import Spooled, spool, spoolforever, spoolraw
from ipcmules.decorators.times import cron, filemon, mstimer, rbtimer, timer

__all__ = [
    "Alarm",
    "Spooled",
    "cron",
    "farm",
    "filemon",
    "harakiri",
    "lock",
    "mstimer",
    "mule",
    "mulefunc",
    "muleloop",
    "mulemsg",
    "on",
    "postfork",
    "rbtimer",
    "signal",
    "signal_number",
    "spool",
    "spoolforever",
    "spoolraw",
    "task_hook",
    "thread",
    "timer",
]
