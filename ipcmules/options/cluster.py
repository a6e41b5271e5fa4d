"""The cluster that a bus belongs to: where its servers are, and what reaches every host."""

from __future__ import annotations

from dataclasses import dataclass

from ipcmules.options.kinds import PATH, Kind, Number, Seconds, Text
from ipcmules.options.option import OURS, WORD, Option, entry
from ipcmules.options.values import Farm, SpoolDir


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Cluster:
    """Cluster."""

    cluster: tuple[str, ...] = entry(
        (),
        Option(
            "cluster",
            Kind(
                "cluster servers",
                metavar="URL",
                many=True,
                argument="str | Sequence[str]",
                example="nats://10.0.0.5:4222",
            ),
            "Join the cluster of the NATS servers at URL; several with commas between them.",
            WORD,
            in_bus="URLs of the NATS servers of the cluster to join, nats://HOST:PORT or tls://HOST:PORT",
            more="[cluster.md](cluster.md)",
        ),
    )
    cluster_name: str = entry(
        "default",
        Option(
            "cluster-name",
            Text("name", "NAME", name="cluster name"),
            "The cluster's name: it keeps two on the same servers apart.",
            OURS,
        ),
    )
    host: str = entry(
        "",
        Option(
            "host",
            Text("name", "NAME", name="cluster name"),
            "This host's name in the cluster.",
            WORD,
            default="the system's",
        ),
    )
    cluster_farms: tuple[Farm, ...] = entry(
        (),
        Option(
            "cluster-farm",
            Kind(
                "cluster farms",
                metavar="NAME:1,2",
                many=True,
                argument="Mapping[str, Iterable[int]] | None",
                default="None",
            ),
            "A farm of these mules on every host that declares it; NAME alone: this host only sends to it.",
            OURS,
            in_bus="name to the numbers of its mules here, none where this host only sends to it",
        ),
    )
    cluster_mules: tuple[int, ...] = entry(
        (),
        Option(
            "cluster-mules",
            Kind("cluster mules", metavar="1,2", many=True, argument="Iterable[int]"),
            'Other hosts can send messages to these mules: mule_msg(m, "2@web1"). Ranges: 1-4.',
            OURS,
            in_bus="numbers of mules to which other hosts can send",
        ),
    )
    cluster_spoolers: tuple[SpoolDir, ...] = entry(
        (),
        Option(
            "cluster-spooler",
            Kind(
                "cluster spoolers",
                metavar="NAME[:N]",
                many=True,
                example="mail:4",
                argument="Mapping[str, int] | None",
                default="None",
            ),
            "A spooler whose tasks are the cluster's, with N processes here; with 0 this host only enqueues.",
            OURS,
            in_bus="name to the number of its processes here, 0 where this host only enqueues",
            more="[cluster.md](cluster.md#tasks)",
        ),
    )
    cluster_max_deliveries: int = entry(
        5,
        Option(
            "cluster-max-deliveries",
            Number(lowest=1, highest=10_000),
            "After N deliveries that nobody has finished a message is a dead letter.",
            OURS,
        ),
    )
    cluster_deadline: float = entry(
        30.0,
        Option(
            "cluster-deadline",
            Seconds(highest=86400, above=True, says="more than 0", example="30"),
            "A host that is not heard of for so long has died: others get what it had.",
            OURS,
        ),
    )
    cluster_replicas: int = entry(
        1,
        Option(
            "cluster-replicas",
            Number(lowest=1, highest=5),
            "So many servers store each message; 3 where there are three servers.",
            OURS,
        ),
    )
    cluster_credentials: str = entry(
        "",
        Option(
            "cluster-credentials",
            Text("file", "FILE", name="credentials file", complete="file", argument=PATH),
            "What to log in with: a line, USER:PASSWORD or a token; or a .creds file, or an nkey's seed.",
            OURS,
        ),
    )
    cluster_ca: str = entry(
        "",
        Option(
            "cluster-ca",
            Text("file", "FILE", name="cluster ca", complete="file", argument=PATH),
            "Certificates that the servers' are verified by; all is encrypted then.",
            OURS,
            default="the system's",
        ),
    )
    cluster_cert: str = entry(
        "",
        Option(
            "cluster-cert",
            Text("file", "FILE", name="cluster certificate", complete="file", argument=PATH),
            "This host's certificate, for servers that verify it.",
            OURS,
        ),
    )
    cluster_key: str = entry(
        "",
        Option(
            "cluster-key",
            Text("file", "FILE", name="cluster key", complete="file", argument=PATH),
            "The key of that certificate.",
            OURS,
            default="in the same file",
        ),
    )
