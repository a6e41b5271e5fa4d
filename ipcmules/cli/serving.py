"""From uWSGI's options to the command line of a web server that serves the same application.

gunicorn, granian and uvicorn. The command runs in the bus's directory, as its user and with its environment,
so those need no option here. Knows option names of servers, and values as uWSGI writes them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

from ipcmules.compat.ini import Entry

#: Options that name where requests come from, the public ones first.
_ADDRESSES = ("http", "http-socket", "http11-socket", "https", "https-socket", "socket", "uwsgi-socket", "s")
#: Options that open sockets which others name by number, =0.
_SHARED = ("shared-socket", "undeferred-shared-socket")
#: gunicorn's limits of a request's first line, and of the others and of what that limit can be, bytes.
_LINE, _HEADER = 4094, 8190


@dataclass
class Site:
    """What of a configuration concerns the web server."""

    addresses: list[str] = field(default_factory=list)  #: HOST:PORT, or unix:PATH
    certificate: tuple[str, str] = ("", "")  #: certificate and key
    application: str = "MODULE:application"
    factory: bool = False  #: the application's name is called
    paste: str = ""  #: a PasteDeploy file, in place of the application
    prefix: str = ""  #: SCRIPT_NAME
    directory: str = "."
    state: str = ""  #: where the bus keeps what outlives it, '' for the usual place
    log: str = ""  #: the file that everything prints to, '' for stderr
    paths: list[str] = field(default_factory=list)  #: for PYTHONPATH
    home: str = ""
    values: dict[str, str] = field(default_factory=dict)  #: the last value of each option
    notes: list[str] = field(default_factory=list)  #: what the command cannot have
    asked: set[str] = field(default_factory=set)  #: the options that were looked at for the command

    def get(self, *names: str) -> str:
        """The value of the first of the options that is given and not 0 or false: for the command."""
        self.asked.update(names)
        return next((self.values[name] for name in names if self.has(name)), "")

    def has(self, name: str) -> bool:
        """True for an option that is given and not 0 or false, whatever becomes of it."""
        return self.values.get(name, "") not in ("", "0", "false")

    def number(self, *names: str) -> str:
        """As get(), what of it is a number: uWSGI reads values with atoi(3), so words may follow."""
        found = re.match(r"\s*\+?0*([1-9]\d*)", self.get(*names))
        return found[1] if found else ""


def site(entries: Sequence[Entry]) -> Site:
    """Read what concerns the server from the options that hold."""
    found = Site()
    for each in entries:
        found.values[each.key] = each.value
    found.directory = found.get("chdir") or "."
    home = found.get("home", "virtualenv", "venv", "pyhome")
    found.home = os.path.abspath(os.path.join(found.directory, home)) if home else ""
    paths = [each.value for each in entries if each.key in ("pythonpath", "python-path", "pp") and each.value]
    found.paths = [*paths, ".", *_directories(entries)]
    _find_addresses(found, entries)
    _find_application(found, [each.value for each in entries if each.key == "mount"])
    return found


def _directories(entries: Sequence[Entry]) -> list[str]:
    """Where hooks after the fork go: the application is imported from there."""
    hooks = [each.value.partition(":") for each in entries if each.key == "hook-post-fork"]
    return [path.strip() for kind, _, path in hooks if kind.strip() in ("cd", "chdir")]


def _find_addresses(found: Site, entries: Sequence[Entry]) -> None:
    found.asked.update((*_ADDRESSES, *_SHARED))
    shared = [each.value.split(",")[0] for each in entries if each.key in _SHARED]
    for name in _ADDRESSES:
        for each in entries:
            if each.key == name:
                first, *rest = each.value.split(",")
                if re.fullmatch(r"=\d+", first.strip()) and int(first.strip()[1:]) < len(shared):
                    first = shared[int(first.strip()[1:])]
                address = _address(first)
                if address and address not in found.addresses:
                    found.addresses.append(address)
                if name.startswith("https") and len(rest) >= 2:
                    found.certificate = (rest[0], rest[1])
    if not found.addresses:
        found.addresses.append("127.0.0.1:8000")


def _address(text: str) -> str:
    """As gunicorn has it, '' for what is none (=0, a shared socket that nobody has opened)."""
    text = text.strip()
    host, colon, port = text.rpartition(":")
    number = re.match(r"\d+", port)  # words may follow: atoi(3)
    if colon and number:
        return f"{'0.0.0.0' if host in ('', '*') else host}:{number[0]}"
    if text.isdigit():
        return f"0.0.0.0:{text}"
    return f"unix:{text}" if text and not colon and not text.startswith("=") else ""


def _find_application(found: Site, mounts: Sequence[str]) -> None:
    name = found.get("callable") or "application"
    module = found.get("module", "wsgi")
    file = found.get("wsgi-file", "file")
    *others, last = mounts or [""]
    prefix, _, mounted = last.partition("=")
    if not module and not file:
        file = mounted
        if file and not file.endswith(".py"):
            module, file = file, ""
    if mounted and mounted not in (module, file):
        others.append(last)
    elif mounted and found.get("manage-script-name"):
        found.prefix = prefix.strip().rstrip("/")
    if others:
        found.notes.append(
            f"the command serves one application: {', '.join(others)} left out; a module of your own can "
            "join them (werkzeug's DispatcherMiddleware)"
        )
    found.paste = found.get("paste", "ini-paste", "ini-paste-logged").removeprefix("config:")
    if module:
        module, colon, own = module.partition(":")
        found.application = f"{module}:{own if colon else name}"
    elif file:
        found.application = f"{_module_of(file, found)}:{name}"
    elif not found.paste:
        found.notes.append("no application is named: put its module in MODULE's place")
    found.factory = found.application.endswith("()")


def _module_of(file: str, found: Site) -> str:
    """The module of a file: by its path below the directory, else its directory goes on the path.

    The servers import by name, so a name need be none that Python's import statement can take: web-app does.
    """
    path = os.path.relpath(file, os.path.abspath(found.directory)) if os.path.isabs(file) else file
    parts = os.path.normpath(path).removesuffix(".py").split("/")
    if path.endswith(".py") and all(each.isidentifier() for each in parts):
        return ".".join(parts)
    stem = os.path.basename(file).removesuffix(".py")
    if file.endswith(".py") and stem and "." not in stem:
        found.paths.insert(0, os.path.dirname(file) or ".")
    else:
        found.notes.append(f"{file} has no name that Python can import: give it one that ends in .py")
    return stem


def command(found: Site, server: str) -> list[str]:
    """The words of the command line."""
    program = _program(found, server)
    words = {"gunicorn": _gunicorn, "granian": _granian, "uvicorn": _uvicorn}[server](found)
    if any(each.startswith("unix:@") for each in found.addresses):
        found.notes.append(f"{server} has no abstract sockets: give the address another name than @...")
    application = found.application
    if found.paste and application.startswith("MODULE:"):
        if server == "gunicorn":
            return [program, *words, "--paste", found.paste]
        found.notes.append(
            f"{server} reads no Paste files ({found.paste}): make a module whose application is "
            "paste.deploy.loadapp('config:FILE')"
        )
    if server != "gunicorn" and found.get("gevent", "gevent-monkey-patch", "gevent-early-monkey-patch"):
        found.notes.append(
            f"{server} has no greenlets but threads, and does not run an application that calls gevent's "
            "patch_all() itself: take the call out, or use --server gunicorn"
        )
    if found.get("daemonize", "daemonize2"):
        found.notes.append("it stays in the foreground: let a service manager start it (--systemd)")
    if found.factory and server != "gunicorn":
        return [program, *words, "--factory", application.removesuffix("()")]
    return [program, *words, application]


def _program(found: Site, name: str) -> str:
    if not found.home:
        return name
    path = os.path.join(found.home, "bin", name)
    if os.path.exists(path):
        return path
    found.notes.append(f"{name} is not in {found.home}: install it there, then start {path}")
    return name


def _options(found: Site, *pairs: tuple[str, str]) -> list[str]:
    """OPTION VALUE for each option that has a value."""
    return [word for option, value in pairs if value for word in (option, value)]


def _gunicorn(found: Site) -> list[str]:
    words = [word for each in found.addresses for word in ("--bind", each)]
    words += _options(
        found,
        ("--workers", found.number("processes", "workers", "p")),
        ("--threads", found.number("threads")),
        ("--timeout", found.number("harakiri")),
        ("--max-requests", found.number("max-requests")),
        ("--max-requests-jitter", found.number("max-requests-delta")),
        ("--backlog", found.number("listen", "l")),
        *_buffer(found),
        ("--certfile", found.certificate[0]),
        ("--keyfile", found.certificate[1]),
        ("--umask", _mask(found) or found.get("umask")),  # of its socket alone
        ("--access-logfile", _access_log(found)),
        ("--name", found.get("procname", "procname-prefix", "procname-prefix-spaced").strip()),
        ("--env", f"SCRIPT_NAME={found.prefix}" if found.prefix else ""),
    )
    greenlets = found.number("gevent", "async")
    if greenlets:
        words += ["--worker-class", "gevent", "--worker-connections", greenlets]
        lacking = [each for each in ("gevent", "packaging") if found.home or find_spec(each) is None]
        if lacking:  # gunicorn's setup does not ask for them
            found.notes.append(f"gunicorn's gevent workers need packages: pip install {' '.join(lacking)}")
    return [*words, "--reuse-port"] if found.get("reuse-port") else words


def _buffer(found: Site) -> list[tuple[str, str]]:
    """What makes gunicorn take headers as long as buffer-size, where its own limits are lower."""
    size = int(found.number("buffer-size", "b") or 0)
    if size <= _LINE:
        return []
    if size <= _HEADER:
        return [("--limit-request-line", str(size))]
    return [("--limit-request-line", "0"), ("--limit-request-field_size", str(size))]  # 0: no limit


def _mode(found: Site) -> str:
    """Of a Unix socket, in octal: uWSGI's chmod-socket, 666 without a value, '' where it is not given."""
    found.asked.update(("chmod-socket", "chmod"))
    names = [each for each in ("chmod-socket", "chmod") if each in found.values]
    if not names or not any(each.startswith("unix:") for each in found.addresses):
        return ""
    digits = re.match(r"\s*[0-7]+", found.values[names[0]])
    return digits[0].strip()[-3:].rjust(3, "0") if digits else "666"


def _mask(found: Site) -> str:
    """The umask that gives a Unix socket this mode."""
    mode = _mode(found)
    masked = "".join("7" if each == "0" else "0" if int(each, 8) & 2 else "2" for each in mode)
    return f"0{masked}" if mode else ""


def _access_log(found: Site) -> str:
    kind, _, file = found.get("req-logger", "logger-req").partition(":")
    if kind == "file" and file:
        return file
    return "" if found.get("disable-logging") else "-"


def _single(found: Site, server: str) -> list[str]:
    """The one address that granian and uvicorn can have."""
    first, *others = found.addresses
    if others:
        found.notes.append(f"{server} listens at one address: {', '.join(others)} left out")
    if first.startswith("unix:"):
        return ["--uds", first.removeprefix("unix:")]
    host, _, port = first.rpartition(":")
    return ["--host", host.strip("[]"), "--port", port]


def _granian(found: Site) -> list[str]:
    words = ["--interface", "wsgi", *_single(found, "granian")]
    mode = _mode(found)
    words += _options(
        found,
        ("--uds-permissions", f"0{mode}" if mode and "--uds" in words else ""),  # octal by the zero
        ("--workers", found.number("processes", "workers", "p")),
        ("--blocking-threads", found.number("threads")),
        ("--backlog", _at_least(found.number("listen", "l"), 128)),
        ("--ssl-certificate", found.certificate[0]),
        ("--ssl-keyfile", found.certificate[1]),
        ("--url-path-prefix", found.prefix),
        ("--workers-lifetime", _at_least(found.number("max-worker-lifetime"), 60)),
        ("--workers-max-rss", found.number("reload-on-rss", "evil-reload-on-rss")),
    )
    if found.has("harakiri"):
        found.notes.append("granian has no timeout for a request (harakiri)")
    return words if found.get("disable-logging") else [*words, "--access-log"]


def _at_least(text: str, lowest: int) -> str:
    return str(max(int(text), lowest)) if text.isdigit() else ""


def _uvicorn(found: Site) -> list[str]:
    words = ["--interface", "wsgi", *_single(found, "uvicorn")]
    words += _options(
        found,
        ("--workers", found.number("processes", "workers", "p")),
        ("--limit-max-requests", found.number("max-requests")),
        ("--limit-max-requests-jitter", found.number("max-requests-delta")),
        ("--backlog", found.number("listen", "l")),
        ("--ssl-certfile", found.certificate[0]),
        ("--ssl-keyfile", found.certificate[1]),
    )
    if found.has("harakiri"):
        found.notes.append("uvicorn has no timeout for a request (harakiri)")
    if found.prefix:
        words += ["--root-path", found.prefix]
        found.notes.append(
            f"uvicorn adds {found.prefix} to paths: let the server in front take it off before"
        )
    if _mode(found) not in ("", "666"):
        found.notes.append(
            f"uvicorn makes its socket with mode 666, not {_mode(found)}: chmod it after the start"
        )
    return [*words, "--no-access-log"] if found.get("disable-logging") else words
