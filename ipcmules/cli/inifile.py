"""Options from uWSGI's configuration files: which ipcmules takes, leaves to others, or has never heard of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ipcmules.cli import translations
from ipcmules.cli.options import OPTIONS, Given
from ipcmules.compat import catalogue, ini, logic, references
from ipcmules.errors import ConfigError


def load(path: str | Iterable[tuple[str, str]], given: Given, environment: bool = False) -> None:
    """Add the options of the [ipcmules] and [uwsgi] sections of a file, or of several, to given.

    path: as ini.read() has it. environment: the UWSGI_* variables too.
    Options of [uwsgi] that nobody takes are noted: in given.missing what will be missing, in given.unused
    those of the web server and those that do not exist. All are in given.raw, for uwsgi.opt. Raises
    ConfigError, naming file, line and option.
    """
    files = [("ini", path)] if isinstance(path, str) else list(path)
    web: dict[str, dict[str, None]] = {}
    unknown: dict[str, dict[str, None]] = {}
    given.raw.extend((option, file) for option, file in files)
    read = [("", path)] if isinstance(path, str) else files
    entries = ini.read(read, reload=given.reload, environment=environment)
    for entry in entries:
        given.raw.append((entry.key, entry.value))
        kind = what_is(entry)
        if kind == "taken":
            _take(entry, entries, given)
        elif kind == catalogue.SERVER:
            web.setdefault(entry.file, {})[entry.key] = None
        elif kind == catalogue.MISSING:
            known = catalogue.look(entry.key)
            given.missing.setdefault(known.text if known else "", {})[entry.key] = None
        elif kind == "unknown":
            unknown.setdefault(entry.file, {})[entry.key] = None
    given.unused.extend(f"{file}: {', '.join(names)}" for file, names in unknown.items())
    given.unused.extend(f"{file}, of the web server: {', '.join(names)}" for file, names in web.items())


def _take(entry: ini.Entry, entries: Sequence[ini.Entry], given: Given) -> None:
    origin = f"{entry.where}, {entry.key}"
    if entry.section != "uwsgi":
        given.add(entry.key, entry.value, origin, raw=False)
        return
    try:
        found = translations.translate(entry, entries)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from error
    if found.missing:
        given.missing.setdefault(found.missing, {})[f"{entry.key} = {entry.value}"] = None
    for key, value in found.options:
        given.add(key, value, origin, raw=False, uwsgi=True)


def what_is(entry: ini.Entry) -> str:
    """'taken', 'server' (the web server's), 'nothing' (needs nothing), 'missing', or 'unknown'."""
    name = entry.key
    option = OPTIONS.get(name)
    if entry.section != "uwsgi":
        # What includes another file has done so when the file was read.
        if option is None and (name in ini.READING or name in references.DEFINING):
            return catalogue.NOTHING
        return "taken" if option is not None else _known(name)
    if name in translations.BY_OTHERS or (option is not None and option.in_uwsgi):
        return "taken"
    return _known(name)


def _known(name: str) -> str:
    if name in ini.READING or logic.ends(name):
        return catalogue.NOTHING
    known = catalogue.look(name)
    if known is None:
        return "unknown"
    return catalogue.NOTHING if known.kind == catalogue.DONE else known.kind
