"""A systemd unit that starts a bus, for `ipcmules service` and `ipcmules migrate --systemd`.

Knows systemd.service(5) and systemd.exec(5); nothing of where the bus was described.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from ipcmules.errors import ConfigError

#: What a stop may take besides the mercy: the server's own end, and what is kept. Seconds.
_MORE = 30
#: For how long an app may load before systemd gives the start up; its own default. Seconds.
_START = 90
#: A master that says nothing for so long hangs, seconds. An idle one wakes at half of it.
_WATCHDOG = 30
#: systemd's own soft and hard limit of open files. The master raises its soft one by itself.
FILES = "1024:524288"


@dataclass(frozen=True)
class Unit:
    """What a unit is made of.

    words: the command line that starts the bus, its first word by its path. mercy: seconds that a stop leaves
    the processes. user, group: who runs it, '' for root. drops: it starts as root and becomes another user by
    itself. queue_bytes: of RLIMIT_MSGQUEUE, 0 for the default. runtime: directories below /run that it needs
    besides the bus's. state: its directory below /var/lib. more: further lines of [Service].
    """

    bus: str
    title: str
    words: Sequence[str]
    mercy: float
    user: str = ""
    group: str = ""
    drops: bool = False
    queue_bytes: int = 0
    files: str = FILES
    runtime: Sequence[str] = ()
    state: str = ""
    more: Sequence[str] = ()

    @property
    def directory(self) -> str:
        """The bus's own directory below /run, '' where it cannot have one.

        systemd makes it for the user that it starts, and the bus may be another's.
        """
        return "" if self.drops else f"ipcmules-{self.bus}"


def text(unit: Unit) -> str:
    """The unit's file. It works in the current directory."""
    lines = ["[Unit]", f"Description={escaped(unit.title)}", "After=network.target"]
    # Not notify-reload, which systemd has from 253 on. ExecReload= tells systemctl also that a reload failed.
    lines += ["", "[Service]", "Type=notify", "NotifyAccess=main"]
    lines += [f"{key}={escaped(each)}" for key, each in (("User", unit.user), ("Group", unit.group)) if each]
    lines += [f"WorkingDirectory={escaped(os.getcwd())}"]
    lines += [f"ExecStart={line(unit.words)}", f"ExecReload={_reload(unit)}"]
    # The master ends the others in their order; whoever outlives it is killed with the group.
    lines += [
        "KillMode=mixed",
        f"TimeoutStartSec={_START}",
        f"TimeoutStopSec={math.ceil(unit.mercy) + _MORE}",
    ]
    lines += [f"WatchdogSec={_WATCHDOG}", "Restart=on-failure"]
    # A mule that had too much memory is started again; systemd's default is the end of all.
    lines += ["OOMPolicy=continue"]
    lines += [*_directories(unit), *_limits(unit), *unit.more]
    return "\n".join([*lines, "", "[Install]", "WantedBy=multi-user.target", ""])


def _reload(unit: Unit) -> str:
    if unit.drops:
        return "/bin/kill -HUP $MAINPID"
    own = list(unit.words)[: list(unit.words).index("run")]
    return line([*own, "reload", "--bus", unit.bus])


def _directories(unit: Unit) -> list[str]:
    lines = []
    runtime = " ".join(escaped(each) for each in (unit.directory, *unit.runtime) if each)
    if runtime:
        lines.append(f"RuntimeDirectory={runtime}")
    if unit.directory:
        # After a crash the next start takes over what is described there.
        lines.append("RuntimeDirectoryPreserve=yes")
    if unit.state:
        lines += [f"StateDirectory={escaped(unit.state)}", "StateDirectoryMode=0700"]
    return lines


def _limits(unit: Unit) -> list[str]:
    queues = [f"LimitMSGQUEUE={unit.queue_bytes}"] if unit.queue_bytes else []
    return [*queues, f"LimitNOFILE={unit.files}"]


def absolute(program: str, home: str = "") -> str:
    """A program by its path: systemd finds none of a virtual environment. home: one to look in first."""
    beside = [os.path.join(home, "bin", program)] if home else []
    beside += [os.path.join(os.path.dirname(sys.executable), program)]
    return next((each for each in beside if os.path.exists(each)), shutil.which(program) or program)


def launcher(home: str = "") -> list[str]:
    """The words that run ipcmules, whatever PATH is."""
    found = absolute("ipcmules", home)
    return [found] if os.path.isabs(found) else [sys.executable, "-m", "ipcmules"]


def complaints(name: str, content: str) -> list[str] | None:
    """What `systemd-analyze verify` says of a unit; None where there is none. name: of its file."""
    program = shutil.which("systemd-analyze")
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, os.path.basename(name))
        write(path, content, force=False)
        done = subprocess.run(
            [program, "verify", "--man=no", path], capture_output=True, text=True, check=False
        )
    # It also complains of other units of the machine.
    said = [line for line in done.stderr.splitlines() if os.path.basename(path) in line]
    return [line.replace(f"{directory}/", "") for line in said]


def write(path: str, content: str, force: bool) -> None:
    """Write a file, over one that is there only by force. Raises ConfigError."""
    try:
        with open(path, "w" if force else "x", encoding="utf-8", errors="surrogateescape") as file:
            file.write(content)
    except FileExistsError:
        raise ConfigError(
            f"{path} exists: add --force to write over it, or name another file with --output"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}; name another with --output"
        ) from error


def line(words: Sequence[str]) -> str:
    """A command line as systemd reads it."""
    return " ".join(map(word, words))


def word(text: str) -> str:
    """A word as systemd.syntax(7) quotes it."""
    plain = escaped(text).replace("$", "$$")
    if plain and not any(each in plain for each in " \t\n\"'\\;"):
        return plain
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def escaped(text: str) -> str:
    """Without what systemd would fill in (systemd.unit(5), specifiers)."""
    return text.replace("%", "%%")
