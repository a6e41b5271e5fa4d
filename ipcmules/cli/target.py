"""Which running bus a command means, and whether it runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ipcmules.bus.liveness import is_alive
from ipcmules.bus.places import BUS_VARIABLE, Places, check_ours, places
from ipcmules.cli.completing import buses
from ipcmules.errors import NotAttached

Function = TypeVar("Function", bound=Callable[..., Any])


def bus_option(function: Function) -> Function:
    """The option --bus of the commands that talk to a running bus."""
    return click.option(
        "--bus",
        metavar="NAME",
        help="Name of the bus [default: $IPCMULES_BUS, else 'default'].",
        shell_complete=buses,
    )(function)


def bus_places(bus: str | None) -> Places:
    """The places of the bus that --bus, IPCMULES_BUS or nothing names.

    Raises ConfigError for a bad name, AccessError for a bus of another user: no command has to do with one.
    """
    where = places(bus if bus is not None else os.environ.get(BUS_VARIABLE) or "default")
    check_ours(where)
    check_ours(where, where.state)
    return where


def running(bus: str | None) -> Places:
    """The places of a bus that has a living master. Raises NotAttached if it has none."""
    where = bus_places(bus)
    if not is_alive(where):
        from ipcmules.cli.found import neighbours

        raise NotAttached(
            f"there is no running bus {where.bus!r} ({neighbours(where)}): start it with "
            f"'ipcmules run --bus {where.bus}', or name another with --bus or IPCMULES_BUS"
        )
    return where
