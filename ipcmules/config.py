"""One typed description of a bus, whatever it came from: command line, ini, TOML or Python.

Knows errors and names; reads no files and opens nothing. `BusConfig` is checked when it is built, so
whatever holds one holds a bus that makes sense. It travels as JSON to the master and its processes.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any

from ipcmules.errors import ConfigError
from ipcmules.places import check_name

_CALLABLE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*\Z")

#: As many as the shared table has records for workers (table.WORKER_SLOTS).
MAX_WORKERS = 256
#: Values of on_mule_death and of on_hook_error.
ON_MULE_DEATH = ("dead-letter", "requeue", "drop")
ON_HOOK_ERROR = ("log", "keep")
#: What --hook-as-mule can do (KIND:ARGUMENT).
MULE_HOOKS = ("exec", "print", "cd", "write")
#: What an alarm can do (--alarm NAME KIND:ARGUMENT).
ALARMS = ("cmd", "signal", "mule", "log")

#: More would need more than the 256 queues a Linux system has by default (fs.mqueue.queues_max).
MAX_MULES = 4096


@dataclass(frozen=True)
class Program:
    """What a mule runs.

    kind is 'none' (signal-only), 'file' (target is a path of a .py file), 'callable'
    (target is 'package.module:callable') or 'pickled' (target is base64 of a dill pickle, an
    embedding program's function; label names it for people).
    """

    kind: str = "none"
    target: str = ""
    label: str = ""

    def __str__(self) -> str:
        return self.label or self.target or "signal-only"


def program(text: str) -> Program:
    """A Program from --mule's value: '' (signal-only), 'path.py' or 'package.module:callable'."""
    if not text:
        return Program()
    if text.endswith(".py"):
        return Program("file", text)
    if _CALLABLE.match(text):
        return Program("callable", text)
    raise ConfigError(f"mule program {text!r} is neither a file ending in .py nor package.module:callable")


@dataclass(frozen=True)
class Farm:
    """A named group of mules, by number from 1."""

    name: str
    mules: tuple[int, ...]


def farm(text: str) -> Farm:
    """A Farm from --farm's value, 'NAME:1,2'."""
    name, colon, numbers = text.partition(":")
    parts = [part.strip() for part in numbers.split(",")]
    if not colon or not name or not all(part.isascii() and part.isdigit() for part in parts):
        raise ConfigError(f"farm {text!r} is malformed: write NAME:1,2 with the numbers of its mules")
    return Farm(name, tuple(int(part) for part in parts))


@dataclass(frozen=True)
class BusConfig:
    """A bus, described and checked. Every field has the command line's meaning (docs/reference.md)."""

    name: str = "default"
    named: bool = True  #: False for Bus() without a name: unique, keeps nothing after its end
    mules: tuple[Program, ...] = ()
    farms: tuple[Farm, ...] = ()
    processes: int = 0
    imports: tuple[str, ...] = ()  #: --import, MODULE or FILE, loaded in order
    lazy_apps: bool = False
    locks: int = 0  #: locks 0 to this number
    settings: tuple[tuple[str, str], ...] = ()  #: --set K=V
    pyargv: tuple[str, ...] = ()  #: sys.argv[1:] of mule programs
    mercy: float = 60.0  #: --mule-reload-mercy, seconds
    harakiri: float = 0.0  #: --mule-harakiri, seconds a hook or handler may take; 0 for ever
    handler_harakiri: float = 0.0  #: the same of a [uwsgi] section, where it is for handlers alone
    max_messages: int = 0  #: --mule-max-msgs: a mule is replaced after so many; 0 never
    touch_reload: tuple[str, ...] = ()  #: --touch-mules-reload, absolute paths
    queue_share: float = 0.5  #: share of RLIMIT_MSGQUEUE this bus may take for its queues
    directory: str = "."  #: current directory of the bus's processes, importable
    paths: tuple[str, ...] = ()  #: more of sys.path, in front
    command: tuple[str, ...] = ()  #: -- COMMAND
    daemons: tuple[str, ...] = ()  #: --attach-daemon, as they are written: master/daemons.py splits them
    on_mule_death: str = "dead-letter"  #: what becomes of a message in the hands of a mule that died
    max_requeues: int = 3  #: with on_mule_death 'requeue': deaths after which it is a dead letter
    on_hook_error: str = "log"  #: what becomes of a message whose hook raised
    compat: bool = False  #: --compat: `import uwsgi` works in every process of the bus
    sockets: tuple[str, ...] = ()  #: --socket, where packets of the uwsgi protocol are taken
    socket_allow: tuple[str, ...] = ()  #: --socket-allow, networks beside this machine
    socket_key_file: str = ""  #: --socket-key-file, absolute: signs tasks that are unpickled
    mule_hooks: tuple[str, ...] = ()  #: --hook-as-mule, run in each mule at its start
    alarms: tuple[str, ...] = ()  #: --alarm, 'NAME KIND:ARGUMENT'
    #: The options as they were written, for uwsgi.opt: None where there was no value.
    options: tuple[tuple[str, str | None], ...] = field(default=(), compare=False)
    main: str = ""  #: base64 pickle of multiprocess' preparation data, for 'pickled' programs
    owner: tuple[int, int] = (0, 0)  #: pid and start time of the embedding program

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(self.mules) > MAX_MULES:
            raise ConfigError(f"{len(self.mules)} mules are too many: at most {MAX_MULES}")
        for value, allowed, what in (
            (self.on_mule_death, ON_MULE_DEATH, "on_mule_death"),
            (self.on_hook_error, ON_HOOK_ERROR, "on_hook_error"),
        ):
            if value not in allowed:
                raise ConfigError(f"{what}={value!r}: give one of {', '.join(allowed)}")
        for number, what, most in (
            (self.processes, "processes", MAX_WORKERS),
            (self.locks, "locks", 4096),
            (self.max_requeues, "max_requeues", 4096),
        ):
            if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= most:
                raise ConfigError(f"{what}={number!r}: give a number from 0 to {most}")
        if not 0 < self.queue_share <= 1:
            raise ConfigError(f"queue_share={self.queue_share!r}: give a share above 0, up to 1")
        if not self.mercy >= 0:
            raise ConfigError(f"mercy={self.mercy!r}: give seconds, 0 or more")
        for time in (self.harakiri, self.handler_harakiri):
            if not 0 <= time <= 1e9:
                raise ConfigError(f"harakiri={time!r}: give seconds, 0 (for ever) or more")
        if type(self.max_messages) is not int or not 0 <= self.max_messages < 2**63:
            raise ConfigError(f"max_messages={self.max_messages!r}: give a number, 0 (never) or more")
        self._check_farms()

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
        values["settings"] = tuple((key, value) for key, value in data["settings"])
        values["options"] = tuple((key, value) for key, value in data["options"])
        texts = ("imports", "pyargv", "paths", "command", "daemons", "owner", "touch_reload")
        for name in (*texts, "alarms", "mule_hooks", "sockets", "socket_allow"):
            values[name] = tuple(data[name])
        return cls(**values)
