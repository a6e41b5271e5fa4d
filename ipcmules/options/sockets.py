"""Sockets where packets of the uwsgi protocol are taken, and where a bus is shown."""

from __future__ import annotations

from dataclasses import dataclass

from ipcmules.options.kinds import FLAG, Kind, Text
from ipcmules.options.option import OTHER, OURS, SAME, WORD, Option, entry


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Sockets:
    """Sockets."""

    sockets: tuple[str, ...] = entry(
        (),
        Option(
            "socket",
            Kind("addresses", metavar="ADDRESS", many=True),
            "Take packets of the uwsgi protocol at ADDRESS: HOST:PORT, a path, @abstract.",
            OTHER,
            argument="",
            more="In `[uwsgi]` it is the web server's.",
        ),
    )
    metrics_addresses: tuple[str, ...] = entry(
        (),
        Option(
            "metrics",
            Kind("metrics addresses", metavar="ADDRESS", many=True),
            "Serve /metrics for Prometheus at ADDRESS.",
            OURS,
            argument="",
            more="[Watching a bus](monitoring.md)",
        ),
    )
    stats_addresses: tuple[str, ...] = entry(
        (),
        Option(
            "stats",
            Kind("addresses", metavar="ADDRESS", many=True),
            "Serve uWSGI's statistics at ADDRESS, as for uwsgitop.",
            SAME,
            argument="",
            aliases=("stats-server",),
            more="[Statistics](monitoring.md#uwsgis-stats-server)",
        ),
    )
    stats_http: bool = entry(
        False,
        Option("stats-http", FLAG, "Serve --stats with headers of HTTP.", SAME, argument=""),
    )
    web_addresses: tuple[str, ...] = entry(
        (),
        Option(
            "web",
            Kind("web addresses", metavar="ADDRESS", many=True),
            "Serve a page for browsers at ADDRESS.",
            WORD,
            argument="",
            more="[monitoring.md](monitoring.md#in-a-browser)",
        ),
    )
    web_read_only: bool = entry(
        False,
        Option("web-read-only", FLAG, "The page of --web shows, and changes nothing.", OURS, argument=""),
    )
    web_hosts: tuple[str, ...] = entry(
        (),
        Option(
            "web-host",
            Text("name", "NAME", many=True),
            "A host name that the page of --web is called by.",
            OURS,
            argument="",
        ),
    )
    web_token_file: str = entry(
        "",
        Option(
            "web-token-file",
            Text("file", "FILE", name="token file", complete="file"),
            "The token that the page asks for.",
            OURS,
            argument="",
            default="one is made",
        ),
    )
    socket_allow: tuple[str, ...] = entry(
        (),
        Option(
            "socket-allow",
            Kind("networks", metavar="NETWORK", many=True),
            "Let machines of NETWORK send to --socket, too.",
            OURS,
            argument="",
        ),
    )
    socket_key_file: str = entry(
        "",
        Option(
            "socket-key-file",
            Text("file", "FILE", name="key file", complete="file"),
            "A key that signs tasks from sockets.",
            OURS,
            argument="",
        ),
    )
