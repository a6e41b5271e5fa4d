"""One typed description of a bus, whatever it came from: command line, ini, TOML or Python.

Knows errors, names and the options, whose fields it has; reads no files and opens nothing. `BusConfig` is
checked when it is built, so whatever holds one holds a bus that makes sense. It travels as JSON to the master
and its processes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ipcmules.bus.places import check_name
from ipcmules.errors import ConfigError
from ipcmules.options.app import App
from ipcmules.options.areas import AreaSpec
from ipcmules.options.caches import CacheItem, CacheSpec
from ipcmules.options.cluster import Cluster
from ipcmules.options.daemons import Daemon
from ipcmules.options.events import Events
from ipcmules.options.kinds import Kind
from ipcmules.options.messages import Messages
from ipcmules.options.metrics import MetricSpec
from ipcmules.options.mules import MAX_MULES, Mules
from ipcmules.options.processes import Processes
from ipcmules.options.sockets import Sockets
from ipcmules.options.spooler import MAX_SPOOLERS, Spooler
from ipcmules.options.state import State
from ipcmules.options.values import (
    CronCommand,
    Farm,
    Program,
    SignalEvent,
    SpoolDir,
    TouchAction,
    farm,
    program,
)

__all__ = [
    "BusConfig",
    "CronCommand",
    "Farm",
    "Program",
    "SignalEvent",
    "SpoolDir",
    "TouchAction",
    "farm",
    "program",
]


@dataclass(frozen=True)
class BusConfig(Mules, App, Messages, Events, Spooler, Processes, Sockets, Cluster, State):
    """A bus, described and checked. The fields of options are those of its bases (ipcmules/options)."""

    name: str = "default"
    named: bool = True  #: False for Bus() without a name: unique, keeps nothing after its end
    directory: str = "."  #: current directory of the bus's processes, importable
    command: tuple[str, ...] = ()  #: -- COMMAND
    #: The options as they were written, for uwsgi.opt: None where there was no value.
    options: tuple[tuple[str, str | None], ...] = field(default=(), compare=False)
    main: str = ""  #: base64 pickle of multiprocess' preparation data, for 'pickled' programs
    owner: tuple[int, int] = (0, 0)  #: pid and start time of the embedding program

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(self.mules) > MAX_MULES:
            raise ConfigError(f"{len(self.mules)} mules are too many: at most {MAX_MULES}")
        for each in fields(self):
            kind: Kind | None = each.metadata.get("kind")
            if kind is not None:
                kind.check(each.name, getattr(self, each.name))
        self._check_cluster()
        self._check_farms()
        self._check_spoolers()
        self._check_caches()

    @property
    def spooled(self) -> tuple[SpoolDir, ...]:
        """The directories that have spoolers here, in order of declaration."""
        return tuple(each for each in self.spoolers if not each.external)

    @property
    def spooler_directories(self) -> tuple[str, ...]:
        """The directory of each spooler, spooler 1 first."""
        return tuple(self.spooled[number - 1].directory for number in self.spooler_homes)

    @property
    def spooler_homes(self) -> tuple[int, ...]:
        """The number of the directory (from 1) of each spooler, spooler 1 first."""
        return tuple(
            number
            for number, each in enumerate(self.spooled, 1)
            for _ in range(each.processes or self.spooler_processes)
        )

    def spoolers_of(self, directory: int) -> range:
        """The numbers of the spoolers of a directory, by its number."""
        homes = self.spooler_homes
        first = homes.index(directory) + 1
        return range(first, first + homes.count(directory))

    def _check_spoolers(self) -> None:
        seen: set[str] = set()
        names: set[str] = set()
        for each in self.spoolers:
            if each.name and each.name in names:
                raise ConfigError(f"two spool directories are called {each.name!r}: name one otherwise")
            names.add(each.name)
            if not each.directory.startswith("/"):
                raise ConfigError(f"spool directory {each.directory!r} is no absolute path: give one")
            if each.directory in seen:
                raise ConfigError(f"spool directory {each.directory!r} is given twice: give it once")
            seen.add(each.directory)
        if len(self.spooler_directories) > MAX_SPOOLERS:
            raise ConfigError(
                f"{len(self.spooler_directories)} spoolers are too many: at most {MAX_SPOOLERS}"
            )

    def _check_caches(self) -> None:
        for what in ("name", "store"):
            given = [text for each in self.caches if (text := getattr(each, what))]
            twice = next((text for text in given if given.count(text) > 1), None)
            if twice is not None:
                raise ConfigError(f"two caches have the {what} {twice!r}: give each its own")

    def _check_cluster(self) -> None:
        names = [each.name for each in self.cluster_farms]
        for each in self.cluster_farms:
            check_name(each.name, "farm")
            if not self.cluster:
                raise ConfigError(f"farm {each.name!r} is a cluster's, and there is none: add --cluster URL")
            if names.count(each.name) > 1:
                raise ConfigError(f"farm {each.name!r} is given twice")
        if self.cluster_key and not self.cluster_cert:
            raise ConfigError("--cluster-key is the key of a certificate: add --cluster-cert FILE")
        for number in self.cluster_mules:
            if not self.cluster:
                raise ConfigError("--cluster-mules without a cluster: add --cluster URL")
            if not 1 <= number <= len(self.mules):
                raise ConfigError(
                    f"--cluster-mules names mule {number}, but this bus has {len(self.mules)} mule(s): "
                    "add --mule, or correct it"
                )
        # What the cluster sends to members here waits in a farm of this bus.
        ours = tuple(each for each in self.cluster_farms if each.mules and each not in self.farms)
        object.__setattr__(self, "farms", (*self.farms, *ours))

    def _check_farms(self) -> None:
        seen: set[str] = set()
        for each in self.farms:
            check_name(each.name, "farm")
            if each.name in seen:
                raise ConfigError(f"farm {each.name!r} is given twice")
            seen.add(each.name)
            if len(set(each.mules)) != len(each.mules) or not each.mules:
                raise ConfigError(f"farm {each.name!r}: name each of its mules once, at least one")
            for number in each.mules:
                if not 1 <= number <= len(self.mules):
                    raise ConfigError(
                        f"farm {each.name!r} names mule {number}, but this bus has "
                        f"{len(self.mules)} mule(s): add --mule, or correct the farm"
                    )

    def to_json(self) -> dict[str, Any]:
        """As plain values for json.dumps."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> BusConfig:
        """The inverse of to_json."""
        values = dict(data)
        values["mules"] = tuple(Program(**each) for each in data["mules"])
        values["farms"] = tuple(Farm(each["name"], tuple(each["mules"])) for each in data["farms"])
        given = data.get("cluster_farms", ())
        values["cluster_farms"] = tuple(Farm(each["name"], tuple(each["mules"])) for each in given)
        values["crons"] = tuple(CronCommand(**each) for each in data["crons"])
        values["signal_events"] = tuple(SignalEvent(**each) for each in data["signal_events"])
        values["spoolers"] = tuple(SpoolDir(**each) for each in data["spoolers"])
        values["caches"] = tuple(CacheSpec(**each) for each in data.get("caches", ()))
        values["areas"] = tuple(AreaSpec(**each) for each in data.get("areas", ()))
        values["cache_items"] = tuple(CacheItem(**each) for each in data.get("cache_items", ()))
        values["metrics"] = tuple(MetricSpec(**each) for each in data.get("metrics", ()))
        values["described_daemons"] = tuple(
            Daemon(**{**each, "touch": tuple(each["touch"])}) for each in data.get("described_daemons", ())
        )
        values["touch_actions"] = tuple(TouchAction(**each) for each in data.get("touch_actions", ()))
        values["settings"] = tuple((key, value) for key, value in data["settings"])
        values["options"] = tuple((key, value) for key, value in data["options"])
        for each in fields(cls):
            if isinstance(values.get(each.name), list):
                values[each.name] = tuple(values[each.name])
        return cls(**values)
