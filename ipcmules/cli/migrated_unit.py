"""The systemd unit of a bus with its web server, from what uWSGI had: `ipcmules migrate --systemd`."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ipcmules.cli import unit
from ipcmules.cli.serving import Site
from ipcmules.cli.unit import Unit, absolute, launcher

#: uWSGI's mercy, seconds, where the configuration names none.
_MERCY = 60.0


def of_site(name: str, bus: str, words: Sequence[str], found: Site) -> str:
    """The text of a unit. name: for people. words: the command line that starts the bus."""
    server = words.index("--") + 1
    program = absolute(words[server], found.home)
    # As root the bus itself becomes the user, where something is to be done as root before.
    drops = any(each.startswith(("hook-as-root", "exec-as-root")) for each in found.values)
    user = "" if drops else found.get("uid", "immediate-uid")
    group = "" if drops else found.get("gid", "immediate-gid")
    return unit.text(
        Unit(
            bus=bus,
            title=f"ipcmules bus and web server of {name}",
            words=[*launcher(found.home), *words[1:server], program, *words[server + 1 :]],
            mercy=_mercy(found),
            user=user,
            group=group,
            drops=drops,
            runtime=_runtime(found),
            state=found.state.removeprefix("/var/lib/"),
            more=_more(found, user, group),
            files=found.get("max-fd") if found.get("max-fd").isdigit() else unit.FILES,
        )
    )


def _mercy(found: Site) -> float:
    text = found.get("mule-reload-mercy", "worker-reload-mercy", "reload-mercy")
    return float(text) if text.replace(".", "", 1).isdigit() else _MERCY


def _runtime(found: Site) -> list[str]:
    """The directories below /run that sockets and pid files are in: nobody else makes them after a boot."""
    paths = [each.removeprefix("unix:") for each in found.addresses if each.startswith("unix:/run/")]
    paths += [found.get("pidfile", "pidfile2", "safe-pidfile", "safe-pidfile2")]
    names = dict.fromkeys(os.path.dirname(each)[5:] for each in paths if each.startswith("/run/"))
    return [each for each in names if each]


def _more(found: Site, user: str, group: str) -> list[str]:
    lines = []
    owner = ":".join(filter(None, (user, group)))
    if found.log and owner:  # uWSGI opened it as root
        path = os.path.abspath(os.path.join(found.directory, found.log))
        for command in (("touch", path), ("chown", owner if group else f"{owner}:", path)):
            lines.append(f"ExecStartPre=+{unit.line([absolute(command[0]), *command[1:]])}")
    if found.get("umask"):
        lines.append(f"UMask={found.get('umask')}")
    return lines
