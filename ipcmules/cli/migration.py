"""From a uWSGI ini file to what takes its place: an explanation of each option, a TOML file, a command line.

Knows the options of ipcmules and those of uWSGI's HTTP side. Values are those that uWSGI would see:
placeholders
and included files are filled in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ipcmules.cli import inifile
from ipcmules.cli.options import OPTIONS
from ipcmules.compat import ini, references, webserver

#: What of uWSGI's names where the application is; both the bus and the web server load it.
_APPLICATION = ("module", "wsgi", "wsgi-file", "file", "mount")


@dataclass(frozen=True)
class Line:
    """What becomes of one option: kind is 'bus', 'server', 'nothing' or 'look'."""

    where: str
    key: str
    value: str
    kind: str
    text: str


@dataclass(frozen=True)
class Migration:
    """All that is known."""

    lines: list[Line]
    toml: str
    command: str


def read(path: str, server: str) -> Migration:
    """Look at an ini file. server: 'gunicorn' or 'granian'. Raises ConfigError as ini.read()."""
    entries = ini.read(path, blocks=True)
    lines: list[Line] = []
    taken: list[tuple[str, str]] = []
    block = ""
    for entry in entries:
        logic = ini.is_logic(entry.key)
        if logic:
            block = "" if entry.key.startswith("end") else f"{entry.key} = {entry.value}"
        line = _block(entry) if logic else _explained(entry, server)
        if block and not logic:
            text = f"stands in '{block}': decide if it holds, then: {line.text}"
            line = Line(line.where, line.key, line.value, "look", text)
        elif line.kind == "bus":
            taken.append((entry.key, entry.value))
        elif line.kind == "look" and not logic and entry.key not in ("alias", "plugin"):
            taken.append(("set", f"{entry.key}={entry.value}"))
        elif entry.key in ("processes", "workers", "p"):
            taken.append(("set", f"processes={entry.value}"))  # uwsgi.numproc
        lines.append(line)
    return Migration(lines, _toml(path, taken), _command(path, entries, server))


def _block(entry: ini.Entry) -> Line:
    text = "conditions and loops are not read: write out what holds on the machine"
    return Line(_where(entry), entry.key, entry.value, "look", text)


def _where(entry: ini.Entry) -> str:
    return f"{entry.file}:{entry.line}"


def _explained(entry: ini.Entry, server: str) -> Line:
    kind, text = _meaning(entry, server)
    return Line(_where(entry), entry.key, entry.value, kind, text)


def _meaning(entry: ini.Entry, server: str) -> tuple[str, str]:
    key = entry.key
    what = inifile.what_is(entry)
    if key in ("ini", "include", "inherit"):
        return "nothing", "read: what is in it stands here"
    if key in references.DEFINING:
        return "bus", "taken over: set, and the app finds it in uwsgi.opt and ipcmules.settings()"
    if what == "without effect":
        return "nothing", "needs nothing: it is always so, or a matter of uWSGI's own machinery"
    if key == "mule-harakiri" and entry.section == "uwsgi":
        return "bus", "taken over; in uWSGI it guards signal handlers alone, here message hooks too"
    if key in _APPLICATION:
        return "bus", f"taken over: the bus loads it for its mules, {server} for the requests"
    if what == "taken":
        return "bus", "taken over"
    if what == "web":
        advice = webserver.advice(key)
        if not advice:
            return "server", "needs nothing: uWSGI's web server only"
        return "server", f"{server}: {_for(server, advice)}"
    return "look", "not known here: kept as a value of the app (set), which finds it in uwsgi.opt"


def _for(server: str, advice: str) -> str:
    if server == "gunicorn" or not advice.startswith("--"):
        return advice
    return {
        "--bind": "--host HOST --port PORT",
        "--workers": "--workers N",
        "--threads": "--blocking-threads N",
        "--backlog": "--backlog N",
    }.get(advice.split(maxsplit=1)[0], f"look for its own option (gunicorn: {advice})")


# The TOML file


def _toml(path: str, taken: Iterable[tuple[str, str]]) -> str:
    values: dict[str, list[Any]] = {"compat": [True]}
    for key, value in taken:
        name, found = _typed(key, value)
        many = OPTIONS[name].repeatable
        values[name] = [*(values.get(name, []) if many else []), *found]
    text = [f"# From {path}, by `ipcmules migrate`.", ""]
    for name, found in values.items():
        text.append(f"{name} = {_literal(found if len(found) != 1 else found[0])}")
    return "\n".join(text) + "\n"


def _typed(key: str, value: str) -> tuple[str, list[Any]]:
    """The option's name in TOML and its value in TOML's types."""
    key = {"set-ph": "set", "set-placeholder": "set"}.get(key, key)
    option = OPTIONS[key]
    if key == "mules":  # their order among the others gives them their numbers
        return "mule", [""] * (int(value) if value.isdigit() else 0)
    if option.kind == "flag":
        return key, [value.lower() not in ("false", "no", "off", "0")]
    if option.kind == "number" and value.isdigit():
        return key, [int(value)]
    if option.kind in ("seconds", "share"):
        try:
            number = float(value)
        except ValueError:
            return key, [value]
        return key, [int(number) if number.is_integer() else number]
    return key, [value]


def _literal(value: Any) -> str:
    # TOML's basic strings, numbers and lists of them are written as JSON's (but for DEL).
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


# The command line


def _command(path: str, entries: list[ini.Entry], server: str) -> str:
    found: dict[str, str] = {}
    for entry in entries:
        found[entry.key] = entry.value
    name = path.rpartition("/")[2].rpartition(".")[0] or "bus"
    words = ["ipcmules", "run", "--config", f"{name}.toml", "--", *_server(found, server)]
    return " ".join(words)


def _server(found: dict[str, str], server: str) -> list[str]:
    host, port = _address(found)
    workers = next((found[key] for key in ("processes", "workers", "p") if found.get(key)), "")
    application = _application(found)
    if server == "granian":
        words = ["granian", "--interface", "wsgi", "--host", host, "--port", port]
        words += ["--workers", workers] if workers else []
        words += ["--blocking-threads", found["threads"]] if found.get("threads") else []
        return [*words, application]
    words = ["gunicorn", "--bind", f"{host}:{port}"]
    for option, key in (
        ("--workers", workers),
        ("--threads", found.get("threads", "")),
        ("--timeout", found.get("harakiri", "")),
        ("--max-requests", found.get("max-requests", "")),
        ("--backlog", found.get("listen", "")),
        ("--chdir", found.get("chdir", "")),
    ):
        words += [option, key] if key else []
    return [*words, application]


def _address(found: dict[str, str]) -> tuple[str, str]:
    for key in ("http", "http-socket", "https", "socket", "uwsgi-socket", "s"):
        address = found.get(key, "").partition(",")[0]
        host, colon, port = address.rpartition(":")
        if colon and port.isdigit():
            return host or "0.0.0.0", port
    return "127.0.0.1", "8000"


def _application(found: dict[str, str]) -> str:
    module = found.get("module") or found.get("wsgi") or ""
    if not module:
        file = found.get("wsgi-file") or found.get("file") or found.get("mount", "").partition("=")[2]
        module = file.rpartition("/")[2].removesuffix(".py") if file else "MODULE"
    if ":" in module:
        return module
    return f"{module}:{found.get('callable') or 'application'}"
