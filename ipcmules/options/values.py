"""The values that make up a bus: programs, farms, commands of crons, events of signals, spool directories.

Each travels as JSON, as what dataclasses.asdict() makes of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ipcmules.errors import ConfigError

#: NAME, NAME:PROCESSES, either with ,path=DIR.
_QUEUE = re.compile(r"([A-Za-z_][\w.-]{0,63})(?::(\d{1,9}))?(?:,path=(.+))?\Z", re.ASCII | re.DOTALL)
_CALLABLE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*\Z")


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


def cluster_servers(text: str) -> tuple[str, ...]:
    """URLs of NATS servers, from texts with commas between them. Raises ConfigError."""
    found = tuple(each.strip() for each in text.split(",") if each.strip())
    for each in found:
        if "@" in each:  # not repeated here: it may hold a password
            raise ConfigError(
                "a URL with a user or a token would be seen by ps: give it without, and what to log in "
                "with by --cluster-credentials FILE, or the whole URL in the variable IPCMULES_CLUSTER"
            )
        host, colon, port = each.removeprefix("nats://").removeprefix("tls://").rpartition(":")
        if not each.startswith(("nats://", "tls://")) or not colon or not host or not port.isdecimal():
            raise ConfigError(
                f"{each!r} is no server of NATS: write nats://HOST:PORT, such as nats://10.0.0.5:4222, or tls://"
            )
    if not found:
        raise ConfigError(f"{text!r} names no server: write nats://HOST:PORT")
    return found


def cluster_farm(text: str) -> Farm:
    """A Farm from --cluster-farm's value: as farm(), or a name alone, whose members are other hosts'."""
    return farm(text) if ":" in text else Farm(text, ())


def cluster_mules(text: str) -> tuple[int, ...]:
    """Numbers of mules from --cluster-mules' value: '1,2', '1-4'. Raises ConfigError."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        if not all(each.isascii() and each.isdigit() and len(each) < 5 for each in (first, last)):
            raise ConfigError(f"mules {text!r}: give their numbers, such as 1,2 or 1-4")
        found += range(int(first), int(last) + 1)
    return tuple(found)


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
class TouchAction:
    """What the master does when a file is touched: a hook, KIND:ARGUMENT (process/actions.py)."""

    path: str
    hook: str


@dataclass(frozen=True)
class SpoolDir:
    """A spool directory, by its real path. The tasks of an external one are run by somebody else.

    name: what calls may call it, "" for its path alone. processes: its spoolers, 0 for as many as all have.
    """

    directory: str
    external: bool = False
    name: str = ""
    processes: int = 0

    def __str__(self) -> str:
        return f"{self.name}: {self.directory}" if self.name else self.directory


def cluster_spooler(text: str) -> SpoolDir:
    """A SpoolDir from --cluster-spooler's value: NAME, NAME:PROCESSES, either with ,path=DIR; with 0
    processes an external one. Without a path its directory is '': the bus's own (BusConfig).
    """
    match = _QUEUE.match(text)
    if match is None:
        raise ConfigError(f"cluster spooler {text!r} is malformed: write NAME, or NAME:4 (processes here)")
    count = int(match[2] or 0)
    return SpoolDir(match[3] or "", match[2] is not None and not count, match[1], count)


def spool_dir(text: str, external: bool = False) -> SpoolDir:
    """A SpoolDir from --spooler's value: a directory, or a name with what it has: 'mail:4',
    'video:1,path=DIR', 'video,path=DIR'. Without a path it is the directory of that name."""
    match = _QUEUE.match(text)
    if match is None or (match[2] is None and match[3] is None):
        return SpoolDir(text, external)
    name, processes, path = match[1], match[2], match[3]
    if external and processes is not None:
        raise ConfigError(
            f"external spooler {text!r}: its processes are somebody else's; write {name},path=DIR"
        )
    if processes is not None and not int(processes):
        raise ConfigError(f"spooler {text!r} has no process: give 1 or more, or write --spooler-external")
    return SpoolDir(path or name, external, name, int(processes or 0))
