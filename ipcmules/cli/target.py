"""Which running bus a command means, and whether it runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ipcmules.errors import NotAttached
from ipcmules.liveness import is_alive
from ipcmules.places import BUS_VARIABLE, Places, places, runtime_root

Function = TypeVar("Function", bound=Callable[..., Any])


def bus_option(function: Function) -> Function:
    """The option --bus of the commands that talk to a running bus."""
    return click.option(
        "--bus", metavar="NAME", help="Name of the bus [default: $IPCMULES_BUS, else 'default']."
    )(function)


def bus_places(bus: str | None) -> Places:
    """The places of the bus that --bus, IPCMULES_BUS or nothing names. Raises ConfigError for a bad name."""
    return places(bus if bus is not None else os.environ.get(BUS_VARIABLE) or "default")


def running(bus: str | None) -> Places:
    """The places of a bus that has a living master. Raises NotAttached if it has none."""
    where = bus_places(bus)
    if not is_alive(where):
        raise NotAttached(
            f"there is no running bus {where.bus!r} under {runtime_root()}: start it with "
            f"'ipcmules run --bus {where.bus}', or name another with --bus or IPCMULES_BUS"
        )
    return where
