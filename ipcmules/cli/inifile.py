"""Options from a uWSGI ini file: which of them ipcmules takes, ignores, or has never heard of."""

from __future__ import annotations

from ipcmules.cli.options import OPTIONS, Given
from ipcmules.compat import ini, webserver

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

#: What includes another file has done so when the file is read; conditions are refused there.
_READ = frozenset({"ini", "include", "inherit"})


def load(path: str, given: Given) -> None:
    """Add the options of the file's [ipcmules] and [uwsgi] sections to given.

    Options that are neither taken nor known to be without effect are noted in given.unused, those of the web
    server together. All of them are noted in given.raw, for uwsgi.opt. Raises ConfigError, naming file, line
    and option.
    """
    web: dict[str, None] = {}
    unknown: dict[str, None] = {}
    given.raw.append(("ini", path))
    for entry in ini.read(path):
        given.raw.append((entry.key, entry.value))
        kind = what_is(entry)
        if kind == "taken":
            # In uWSGI it guards handlers alone: hooks that were never meant to be quick stay unguarded.
            only_handlers = entry.section == "uwsgi" and entry.key == "mule-harakiri"
            name = "uwsgi mule-harakiri" if only_handlers else entry.key
            given.add(name, entry.value, f"{entry.file}, line {entry.line}, {entry.key}", raw=False)
        elif kind == "web":
            web[entry.key] = None
        elif kind == "unknown":
            unknown[entry.key] = None
    if unknown:
        given.unused.append(f"{path}: {', '.join(unknown)}")
    if web:
        given.unused.append(f"{path}, of the web server: {', '.join(web)}")


def what_is(entry: ini.Entry) -> str:
    """'taken', 'web' (of the HTTP side), 'without effect', or 'unknown'."""
    if entry.key in WITHOUT_EFFECT or entry.key in _READ:
        return "without effect"
    if entry.section == "uwsgi" and (entry.key in _WEB_SERVER or entry.key.startswith("http")):
        return "web"
    if entry.key in OPTIONS:
        return "taken"
    return "web" if webserver.advice(entry.key) is not None else "unknown"
