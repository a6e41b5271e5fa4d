"""The processes that talk to others: the listener of --socket, the exporter of --metrics and --stats, the
page of --web, the carrier of --cluster.

Each is a clean interpreter of ours; all but the carrier inherit their sockets from the master. Knows how they
are started.
"""

from __future__ import annotations

from ipcmules.bus.config import BusConfig
from ipcmules.kernel.spawn import own_code
from ipcmules.master.programs.program import Program
from ipcmules.master.programs.sockets import Sockets


def of(config: BusConfig) -> list[Program]:
    """Those that a bus needs, their sockets bound. Raises ConfigError for an address that cannot be had."""
    bound: list[Sockets] = []
    try:
        return [
            *_listener(config, bound),
            *_exporter(config, bound),
            *_page(config, bound),
            *_carrier(config),
        ]
    except BaseException:
        for each in bound:
            each.close()
        raise


def _listener(config: BusConfig, bound: list[Sockets]) -> list[Program]:
    if not config.sockets:
        return []
    sockets = Sockets("socket", config.sockets, config.directory)
    bound.append(sockets)
    command = tuple(own_code("ipcmules.listener.main", *sockets.descriptors))
    return [Program(command, "the listener", sockets=(sockets,))]


def _exporter(config: BusConfig, bound: list[Sockets]) -> list[Program]:
    served: list[Sockets] = []
    given: list[str] = []
    statistics = "stats-http" if config.stats_http else "stats"
    kinds = (("metrics", "metrics", config.metrics_addresses), ("stats", statistics, config.stats_addresses))
    for option, kind, addresses in kinds:
        if addresses:
            sockets = Sockets(option, addresses, config.directory)
            bound.append(sockets)
            served.append(sockets)
            given += [f"{kind}={each}" for each in sockets.descriptors]
    if not served:
        return []
    return [Program(tuple(own_code("ipcmules.exporter.main", *given)), "the exporter", sockets=tuple(served))]


def _page(config: BusConfig, bound: list[Sockets]) -> list[Program]:
    if not config.web_addresses:
        return []
    sockets = Sockets("web", config.web_addresses, config.directory)
    bound.append(sockets)
    given = [f"socket={each}" for each in sockets.descriptors]
    given += [f"host={each}" for each in config.web_hosts]
    if config.web_token_file:
        given.append(f"token-file={config.web_token_file}")
    if config.web_read_only:
        given.append("read-only=1")
    return [Program(tuple(own_code("ipcmules.web.main", *given)), "the page", sockets=(sockets,))]


def _carrier(config: BusConfig) -> list[Program]:
    return [Program(tuple(own_code("ipcmules.carrier.main")), "the carrier")] if config.cluster else []
