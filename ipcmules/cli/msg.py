"""`ipcmules msg`: send one message."""

from __future__ import annotations

import os
import sys

import click

from ipcmules.cli import completing
from ipcmules.cli.options import named, number, seconds
from ipcmules.cli.target import bus_option, running
from ipcmules.errors import ConfigError

#: mq_send(3): priorities below sysconf(_SC_MQ_PRIO_MAX), 32768 on Linux.
HIGHEST_PRIORITY = 32767


@click.command()
@bus_option
@click.option(
    "--mule",
    metavar="N",
    help="Send to this mule [default: the first available one].",
    shell_complete=completing.mules,
)
@click.option(
    "--farm",
    metavar="NAME",
    help="Send to the first available mule of this farm.",
    shell_complete=completing.farms,
)
@click.option(
    "--priority", metavar="P", default="0", help="0 to 32767; higher ones are received first [default: 0]."
)
@click.option("--timeout", metavar="SECONDS", help="How long to wait for room [default: for ever].")
@click.argument("text")
def command(
    bus: str | None, mule: str | None, farm: str | None, priority: str, timeout: str | None, text: str
) -> int:
    """Send TEXT as a message to a mule, the pool or a farm. '-' sends the bytes of stdin.

    Exits with 0 when the message is in its queue, with 1 when there was no room in time.
    """
    if mule is not None and farm is not None:
        raise ConfigError(
            "--mule and --farm exclude each other: a message has one receiver; give one of them"
        )
    target: int | str = farm if farm is not None else named("--mule", number, mule or "0")
    level = named("--priority", lambda value: number(value, 0, HIGHEST_PRIORITY), priority)
    patience = None if timeout is None else named("--timeout", seconds, timeout)
    where = running(bus)
    # Arguments that are not UTF-8 come out as the bytes they are.
    data = sys.stdin.buffer.read() if text == "-" else os.fsencode(text)

    from ipcmules.embed.attachment import attach

    with attach(where.bus) as attached:
        accepted = attached.mule_msg(data, target, timeout=patience, priority=level)
    if not accepted:
        print(
            f"ipcmules: error: the message was not accepted within {patience} s: its queue is full; "
            "give a longer --timeout, or more mules",
            file=sys.stderr,
        )
    return 0 if accepted else 1
