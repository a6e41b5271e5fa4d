"""`ipcmules tasks run`: run the tasks of a directory in this process, without a bus."""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType
from typing import TYPE_CHECKING

import click

from ipcmules.errors import ConfigError, SpoolError
from ipcmules.kernel.printable import for_people

if TYPE_CHECKING:
    from ipcmules.process.spooler.draining import Drain


@click.command("run")
@click.argument("directory", metavar="DIR")
@click.option("--import", "imports", metavar="MODULE|FILE", multiple=True, help="The app (repeatable).")
@click.option("--once", is_flag=True, help="End when nothing is due any more.")
@click.option("--frequency", type=float, default=30.0, show_default=True, help="Seconds between two looks.")
@click.option("--max-attempts", type=int, default=25, show_default=True, help="0: never give up.")
@click.option("--ordered", is_flag=True, help="In the order of --spooler-ordered.")
def command(
    directory: str,
    imports: tuple[str, ...],
    once: bool,
    frequency: float,
    max_attempts: int,
    ordered: bool,
) -> int:
    """Run the tasks in DIR here, with the app's functions, and say what became of them.

    No bus is needed; spoolers may work on the same directory meanwhile. Without --once it goes on until it is
    stopped (SIGTERM, Ctrl-C: after the task in hand). Exits with 1 if a task failed.
    """
    if frequency <= 0:
        raise ConfigError(f"--frequency {frequency:g}: give seconds, more than 0")
    if max_attempts < 0:
        raise ConfigError(f"--max-attempts {max_attempts}: give 0 or more")
    from ipcmules.api import tasks
    from ipcmules.bus import log
    from ipcmules.process.spooler import draining
    from ipcmules.process.spooler.outcome import Terms
    from ipcmules.spooler.store import Store

    store = Store(directory, ordered)
    store.check()
    log.identify(os.path.basename(store.path), "tasks")
    log.configure()
    tasks.default_directory = store.path
    _load(imports)
    drain = draining.Drain(store, Terms(max_attempts, frequency))
    _stop_after_task(drain)
    try:
        while True:
            drain.run_due()
            if once or drain.stopping:
                break
            _sleep(drain, frequency)
    except OSError as error:
        raise SpoolError(f"the spool directory {store.path} cannot be read: {error.strerror}") from error
    finally:
        drain.close()
    kinds = (draining.DID, draining.AGAIN, draining.FAILED, draining.DEAD, draining.LEFT)
    click.echo(f"{for_people(store.path)}: {', '.join(f'{drain.counts[each]} {each}' for each in kinds)}")
    return 1 if drain.counts[draining.FAILED] or drain.counts[draining.DEAD] else 0


def _load(imports: tuple[str, ...]) -> None:
    from ipcmules.process import apps

    sys.path.insert(0, os.getcwd())
    for name in imports:
        try:
            apps.load_one(name)
        except ImportError as error:
            raise ConfigError(f"--import {name}: {error}") from error


def _stop_after_task(drain: Drain) -> None:
    """The first signal ends it after the task in hand, the second one at once."""

    def stop(number: int, _frame: FrameType | None) -> None:
        if drain.stopping:
            raise KeyboardInterrupt
        drain.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _sleep(drain: Drain, frequency: float) -> None:
    """Until something may be due. A signal makes it look at `stopping`."""
    until = time.time() + frequency
    if drain.next_due:
        until = min(until, drain.next_due)
    while not drain.stopping and time.time() < until:
        time.sleep(min(0.5, max(0.0, until - time.time())))
