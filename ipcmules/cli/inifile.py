"""Options from a uWSGI ini file: which of them ipcmules takes, ignores, or has never heard of."""

from __future__ import annotations

from ipcmules.cli.options import OPTIONS, Given
from ipcmules.compat import ini

#: Options of uWSGI that are right here without doing anything: what they ask for is always so, or it is
#: a matter of uWSGI's own machinery.
WITHOUT_EFFECT = frozenset(
    {
        "callable",
        "die-on-term",
        "enable-threads",
        "lock-engine",
        "master",
        "mule-msg-size",
        "need-app",
        "py-call-osafterfork",
        "py-call-uwsgi-fork-hooks",
        "set-ph",
        "set-placeholder",
        "signal-bufsize",
        "single-interpreter",
        "strict",
        "thunder-lock",
        "vacuum",
    }
)

#: In [uwsgi] these belong to the web server that took uWSGI's place, and so does the number of its workers.
_WEB_SERVER = frozenset({"socket", "uwsgi-socket", "s", "processes", "workers", "p"})


def load(path: str, given: Given) -> None:
    """Add the options of the file's [ipcmules] and [uwsgi] sections to given.

    Options that are neither taken nor known to be without effect are noted in given.unused.
    Raises ConfigError, naming file, line and option.
    """
    unused: dict[str, None] = {}
    for entry in ini.read(path):
        if _ignored(entry):
            continue
        if entry.key in OPTIONS:
            # In uWSGI it guards handlers alone: hooks that were never meant to be quick stay unguarded.
            only_handlers = entry.section == "uwsgi" and entry.key == "mule-harakiri"
            name = "uwsgi mule-harakiri" if only_handlers else entry.key
            given.add(name, entry.value, f"{path}, line {entry.line}, {entry.key}")
        else:
            unused[entry.key] = None
    if unused:
        given.unused.append(f"{path}: {', '.join(unused)}")


def _ignored(entry: ini.Entry) -> bool:
    if entry.key in WITHOUT_EFFECT:
        return True
    return entry.section == "uwsgi" and (entry.key in _WEB_SERVER or entry.key.startswith("http"))
