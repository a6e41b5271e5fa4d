"""What runs beside mules, locks, and how processes end and are replaced."""

from __future__ import annotations

from dataclasses import dataclass

from ipcmules.options import kinds
from ipcmules.options.daemons import Daemon
from ipcmules.options.kinds import Kind, Number
from ipcmules.options.option import OURS, SAME, Option, entry
from ipcmules.options.values import TouchAction


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Processes:
    """Processes, reload and locks."""

    mercy: float = entry(
        60.0,
        Option(
            "mule-reload-mercy",
            kinds.MERCY,
            "How long a stop may take, and a mule that is reloaded.",
            SAME,
        ),
        Option(
            "reload-mercy",
            kinds.MERCY,
            "As --mule-reload-mercy, where that is not given.",
            SAME,
            aliases=("worker-reload-mercy",),
            argument="",
            apart="other_mercy",
        ),
    )
    touch_reload: tuple[str, ...] = entry(
        (),
        Option(
            "touch-mules-reload",
            kinds.FILES,
            "Reload when FILE is touched, replaced or made; the web server keeps its code.",
            SAME,
        ),
    )
    touch_all: tuple[str, ...] = entry(
        (),
        Option(
            "touch-reload",
            kinds.FILES,
            "Reload when FILE is touched, replaced or made, the web server too.",
            SAME,
            aliases=("touch-workers-reload", "touch-chain-reload"),
            argument="",
        ),
        Option(
            "fs-reload",
            kinds.FILES,
            "As --touch-reload; FILE may be a directory: then what is in it counts.",
            SAME,
            argument="",
        ),
    )
    touch_actions: tuple[TouchAction, ...] = entry(
        (),
        Option(
            "touch-exec",
            Kind("touch command", metavar="'FILE COMMAND'", many=True),
            "Run COMMAND when FILE is touched, replaced or made.",
            SAME,
            argument="",
        ),
        Option(
            "hook-touch",
            Kind("touch hook", metavar="'FILE KIND:ARG'", many=True),
            "Do this in the master when FILE is touched, replaced or made.",
            SAME,
            argument="",
        ),
    )
    autoreload: float = entry(
        0.0,
        Option(
            "autoreload",
            kinds.MERCY,
            "For development: look every SECONDS seconds, and reload, the web server too, if a Python file "
            "below the bus's directory has changed.",
            OURS,
            argument="",
        ),
        Option(
            "py-autoreload",
            kinds.MERCY,
            "As --autoreload.",
            SAME,
            file_names=("py-auto-reload", "python-autoreload", "python-auto-reload"),
            argument="",
            only="files",
        ),
    )
    command_reload_signal: str = entry(
        "",
        Option(
            "command-reload-signal",
            kinds.SignalName(),
            "The signal by which the COMMAND loads its code again.",
            OURS,
            argument="",
            default="what gunicorn, granian and uvicorn need",
        ),
    )
    daemons: tuple[str, ...] = entry(
        (),
        Option(
            "attach-daemon",
            Kind(
                "daemons",
                metavar="COMMAND",
                many=True,
                argument="Sequence[str]",
                example="redis-server --port 7000",
            ),
            "Run COMMAND beside the mules, and again whenever it ends.",
            SAME,
        ),
    )
    control_daemons: tuple[str, ...] = entry(
        (),
        Option(
            "attach-control-daemon",
            Kind("daemons", metavar="COMMAND", many=True),
            "Run COMMAND beside the mules; the bus stops when it ends.",
            SAME,
            argument="",
        ),
    )
    described_daemons: tuple[Daemon, ...] = entry(
        (),
        Option(
            "attach-daemon2",
            Kind("described daemons", metavar="KEY=VALUE,...", many=True),
            "Run cmd=COMMAND beside the mules. Further keys: control=1, stopsignal=, touch=FILE;FILE, "
            "chdir=, uid=, gid=.",
            SAME,
            argument="",
        ),
    )
    locks: int = entry(0, Option("locks", Number(), "Have locks 0 to N.", SAME))
