"""One typed description of a bus, whatever it came from: command line, ini, TOML or Python.

Knows errors and names; reads no files and opens nothing. `BusConfig` is checked when it is built, so
whatever holds one holds a bus that makes sense. It travels as JSON to the master and its processes.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ipcmules.errors import ConfigError
from ipcmules.places import check_name

_CALLABLE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*\Z")

#: As many as the shared table has records for workers (table.WORKER_SLOTS).
MAX_WORKERS = 256
#: Fields that are seconds after which something is killed.
_HARAKIRIS = ("harakiri", "handler_harakiri", "cron_harakiri", "spooler_harakiri")
_FLAGS = (
    *("lazy_apps", "compat", "spooler_ordered", "spooler_quiet", "spooler_signal_as_task"),
    *("spooler_cheap", "spooler_fsync"),
)
#: Values of on_mule_death and of on_hook_error.
ON_MULE_DEATH = ("dead-letter", "requeue", "drop")
ON_HOOK_ERROR = ("log", "keep")
#: What --hook-as-mule can do (KIND:ARGUMENT).
MULE_HOOKS = ("exec", "print", "cd", "write")
#: What an alarm can do (--alarm NAME KIND:ARGUMENT).
ALARMS = ("cmd", "signal", "mule", "log")

#: More would need more than the 256 queues a Linux system has by default (fs.mqueue.queues_max).
MAX_MULES = 4096
MAX_SPOOLERS = 4096


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
class CronCommand:
    """A command that the master runs at certain times; events/texts.py reads it from an option.

    when is a cron expression. harakiri: seconds it may take, 0 for ever, None as cron_harakiri says.
    """

    when: str
    command: str
    unique: bool = False  #: not while the former is running
    harakiri: float | None = None


@dataclass(frozen=True)
class SignalEvent:
    """A timer or monitor of an option: kind is 'timer', 'rbtimer', 'touch' or 'file'."""

    kind: str
    signal: int
    seconds: float = 0.0
    iterations: int = 0  #: of an rbtimer, 0 for ever
    path: str = ""


@dataclass(frozen=True)
class SpoolDir:
    """A spool directory, by its real path. The tasks of an external one are run by somebody else."""

    directory: str
    external: bool = False


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
    crons: tuple[CronCommand, ...] = ()  #: --cron, --cron2, --unique-cron
    cron_harakiri: float = 0.0  #: seconds such a command may take; 0 for ever
    signal_events: tuple[
        SignalEvent, ...
    ] = ()  #: --signal-timer, --signal-rbtimer, --touch-signal, --fs-signal
    on_mule_death: str = "dead-letter"  #: what becomes of a message in the hands of a mule that died
    max_requeues: int = 3  #: with on_mule_death 'requeue': deaths after which it is a dead letter
    on_hook_error: str = "log"  #: what becomes of a message whose hook raised
    spoolers: tuple[SpoolDir, ...] = ()  #: --spooler, --spooler-external
    spooler_processes: int = 1  #: --spooler-processes, for each directory
    spooler_frequency: float = 30.0  #: --spooler-frequency, seconds between two looks at a directory
    spooler_ordered: bool = False  #: --spooler-ordered: by name, numbered subdirectories first
    spooler_chdir: str = ""  #: --spooler-chdir, where tasks run; '': the directory of the task
    spooler_imports: tuple[str, ...] = ()  #: --spooler-import, loaded in spoolers after the app
    spooler_quiet: bool = False  #: --spooler-quiet: no line in the log for each task
    spooler_max_tasks: int = 0  #: --spooler-max-tasks: a spooler is replaced after so many; 0 never
    spooler_signal_as_task: bool = False  #: --spooler-signal-as-task: a signal counts as one of them
    spooler_harakiri: float = 0.0  #: --spooler-harakiri, seconds a task may take; 0 for ever
    spooler_cheap: bool = False  #: --spooler-cheap: spoolers run only while there is something to do
    spooler_nice: int = 19  #: --spooler-nice, as nice(1)
    spooler_fsync: bool = False  #: --spooler-fsync: an enqueued task is on the disk
    spooler_max_attempts: int = 25  #: --spooler-max-attempts, then the task goes to dead/; 0 for ever
    touch_spoolers_reload: tuple[str, ...] = ()  #: --touch-spoolers-reload, absolute paths
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
        self._check_words_and_counts()
        self._check_numbers()
        self._check_farms()
        self._check_spoolers()

    @property
    def spooled(self) -> tuple[SpoolDir, ...]:
        """The directories that have spoolers here, in order of declaration."""
        return tuple(each for each in self.spoolers if not each.external)

    @property
    def spooler_directories(self) -> tuple[str, ...]:
        """The directory of each spooler, spooler 1 first."""
        return tuple(each.directory for each in self.spooled for _ in range(self.spooler_processes))

    def _check_words_and_counts(self) -> None:
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
            (self.spooler_processes, "spooler_processes", MAX_SPOOLERS),
            (self.spooler_max_tasks, "spooler_max_tasks", 2**62),
            (self.spooler_max_attempts, "spooler_max_attempts", 2**31),
        ):
            if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= most:
                raise ConfigError(f"{what}={number!r}: give a number from 0 to {most}")

    def _check_numbers(self) -> None:
        for what in ("queue_share", "mercy", "spooler_frequency", *_HARAKIRIS):
            given: object = getattr(self, what)
            if isinstance(given, bool) or not isinstance(given, (int, float)):
                raise ConfigError(f"{what}={given!r}: give a number")
        for what in _FLAGS:
            if type(getattr(self, what)) is not bool:
                raise ConfigError(f"{what}={getattr(self, what)!r}: give True or False")
        if not 0 < self.queue_share <= 1:
            raise ConfigError(f"queue_share={self.queue_share!r}: give a share above 0, up to 1")
        if not self.mercy >= 0:
            raise ConfigError(f"mercy={self.mercy!r}: give seconds, 0 or more")
        for what in _HARAKIRIS:
            if not 0 <= getattr(self, what) <= 1e9:
                raise ConfigError(f"{what}={getattr(self, what)!r}: give seconds, 0 (for ever) or more")
        if type(self.max_messages) is not int or not 0 <= self.max_messages < 2**63:
            raise ConfigError(f"max_messages={self.max_messages!r}: give a number, 0 (never) or more")

    def _check_spoolers(self) -> None:
        seen: set[str] = set()
        for each in self.spoolers:
            if not each.directory.startswith("/"):
                raise ConfigError(f"spool directory {each.directory!r} is no absolute path: give one")
            if each.directory in seen:
                raise ConfigError(f"spool directory {each.directory!r} is given twice: give it once")
            seen.add(each.directory)
        if len(self.spooler_directories) > MAX_SPOOLERS:
            raise ConfigError(
                f"{len(self.spooler_directories)} spoolers are too many: at most {MAX_SPOOLERS}"
            )
        if self.spoolers and not self.spooler_processes:
            raise ConfigError("spooler_processes=0: give at least one, or declare the spooler external")
        if not 0 < self.spooler_frequency <= 1e9:
            raise ConfigError(f"spooler_frequency={self.spooler_frequency!r}: give seconds, more than 0")
        if type(self.spooler_nice) is not int or not -20 <= self.spooler_nice <= 19:
            raise ConfigError(f"spooler_nice={self.spooler_nice!r}: give a number from -20 to 19, as nice(1)")

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
        values["crons"] = tuple(CronCommand(**each) for each in data["crons"])
        values["signal_events"] = tuple(SignalEvent(**each) for each in data["signal_events"])
        values["spoolers"] = tuple(SpoolDir(**each) for each in data["spoolers"])
        values["settings"] = tuple((key, value) for key, value in data["settings"])
        values["options"] = tuple((key, value) for key, value in data["options"])
        for each in fields(cls):
            if isinstance(values.get(each.name), list):
                values[each.name] = tuple(values[each.name])
        return cls(**values)
