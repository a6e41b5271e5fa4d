"""`ipcmules cluster forget HOST`, and `ipcmules status --cluster`: what the carrier of this bus is asked."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from ipcmules.bus import description as descriptions
from ipcmules.bus.places import Places
from ipcmules.cli.groups import Group
from ipcmules.cli.target import bus_option, bus_places
from ipcmules.cluster import client
from ipcmules.errors import ConfigError
from ipcmules.kernel.printable import for_people


@click.group(cls=Group)
def command() -> None:
    """Look after the cluster that a bus belongs to; 'ipcmules status --cluster' shows it."""


@command.command()
@bus_option
@click.argument("host", metavar="HOST")
def forget(bus: str | None, host: str) -> int:
    """Keep no signals any more for a host that has left for good. One that joins again is known again."""
    found, _ = ask(bus_places(bus), {"do": "forget", "host": host})
    if found["said"] != "forgotten":
        raise ConfigError(f"host {host!r} is not forgotten: {found['why']}")
    if not found["known"]:
        raise ConfigError(f"the cluster knows no host {host!r}: 'ipcmules status --cluster' shows them")
    click.echo(f"host {host} is forgotten")
    return 0


#: The carrier answers within so many seconds, or is stopped.
_PATIENCE = 15.0
#: One that is being started listens within so many seconds; so often it is asked meanwhile.
_START, _AGAIN = 5.0, 0.1


def has_cluster(where: Places) -> bool:
    """True if a bus is described that belongs to a cluster."""
    found = descriptions.read(where)
    return found is not None and bool(found.config.cluster)


def ask(where: Places, head: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Ask the bus's carrier. Raises ConfigError where there is none, or it does not answer."""
    if not has_cluster(where):
        raise ConfigError(
            f"bus {where.bus!r} does not run, or belongs to no cluster: start it with --cluster URL"
        )
    until = time.monotonic() + _START
    while True:
        try:
            return client.ask(where, head, b"", _PATIENCE)
        except (FileNotFoundError, ConnectionError) as error:
            if time.monotonic() > until:
                raise _silent(where, error) from error
            time.sleep(_AGAIN)
        except OSError as error:
            raise _silent(where, error) from error


def _silent(where: Places, error: OSError) -> ConfigError:
    return ConfigError(
        f"the carrier of bus {where.bus!r} does not answer ({error}): it is started again; see the log"
    )


def status(where: Places, as_json: bool) -> int:
    """Print it. The exit code: 1 where the cluster is away."""
    found, _ = ask(where, {"do": "status"})
    if as_json:
        click.echo(json.dumps({key: value for key, value in found.items() if key != "said"}, indent=2))
    else:
        for each in _lines(found):
            click.echo(for_people(each))
    return 0 if found["said"] == "status" else 1


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [
        f"cluster {found['name']}, host {found['host']}: {'connected' if found['connected'] else 'away'}"
    ]
    if found["said"] != "status":
        return [*lines, f"the cluster is away: {found['why']}", *_here(found)]
    cluster = found["cluster"]
    for each in cluster["hosts"]:
        farms = ", ".join(f"{name} {farm['members']}" for name, farm in each["farms"].items())
        lines.append(
            f"host {each['host']}: bus {each['bus']}, ipcmules {each['version']}, "
            f"members: {farms or 'none'}, {each['done']} done, {each['redelivered']} redelivered"
        )
    for name, farm in cluster["farms"].items():
        lines.append(f"farm {name}: {farm['waiting']} waiting, {farm['in_hand']} in hand")
    for name, spooler in cluster["spoolers"].items():
        here = [each.get("spoolers", {}).get(name, {}) for each in cluster["hosts"]]
        in_hand = sum(each.get("in_hand", 0) for each in here)
        lines.append(
            f"spooler {name}: {spooler['stored']} tasks, {in_hand} of them in hand on {sum(map(bool, here))} "
            f"{'host' if sum(map(bool, here)) == 1 else 'hosts'}, {spooler['dead']} dead{_paused(spooler)}"
        )
    mules = [f"{name} {count}" for name, count in cluster["mules"].items()]
    if mules:
        lines.append(f"messages to mules: {', '.join(mules)}")
    waiting = [f"{name} {count}" for name, count in cluster["signals"].items() if count]
    lines.append(f"signals that wait: {', '.join(waiting) or 'none'}")
    return [*lines, f"dead letters: {cluster['dead']}"]


def _paused(spooler: dict[str, Any]) -> str:
    paused = spooler["paused"]
    if not paused:
        return ""
    return ", paused on all hosts" + ("" if "*" in paused else f": tasks of {', '.join(paused)}")


def _here(found: dict[str, Any]) -> list[str]:
    return [f"farm {name}: {farm['in_hand']} in hand here" for name, farm in found["farms"].items()]
