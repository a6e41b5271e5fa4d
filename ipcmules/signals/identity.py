"""When two registrations are one: the same decorated function, loaded by any number of processes.

A registration made while the app is loaded is known by the source file whose loading makes it, the
handler's qualified name, the target, and how many times that triple occurred before in this process.
Not by module name (one file may be loaded as `app`, by its path, and as `__main__`), not by line (an
edit is not a new signal), not by number (each process may have its own). Knows Python frames and
functions; nothing of tables.

The occurrences are counted anew whenever a file is run anew (importlib.reload, a second name for the same
module), so that its registrations come out as the same ones again. What tells two runs of a file apart
is the module's spec, which every import and reload makes anew, or the module itself where there is none.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any, NamedTuple, ParamSpec, TypeVar

from ipcmules.bus.places import PACKAGE
from ipcmules.kernel.undisturbed import undisturbed

#: Directory of this package: frames in it are never the app's.
_OURS = PACKAGE + os.sep


Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

#: The functions that load the app: loads().
_loaders: set[CodeType] = set()
#: In place of a module's run: the app calls a function while it is loaded.
_CALLED = object()


class Identity(NamedTuple):
    """One registration, the same in every process that makes it.

    source: real path of the file (of the app's module, or of the handler for a registration made while
    nothing is loaded). digest: 16 bytes, what the table holds.
    """

    source: str
    name: str
    target: str
    runtime: bool  #: made outside loading the app: owned by the process
    digest: bytes

    def same_function(self, other: Identity) -> bool:
        """True if it is the same function of the same file with the same target."""
        return (self.source, self.name, self.target) == (other.source, other.name, other.target)


class Occurrences:
    """Counts how often something occurred in one run of a file."""

    def __init__(self) -> None:
        # The run of each file is kept alive here: its id() must not be given to another one.
        self._runs: dict[int, tuple[object, dict[tuple[str, ...], int]]] = {}

    def next(self, run: object, what: tuple[str, ...]) -> int:
        """How often it occurred in this run before; counts this one too."""
        _run, counts = self._runs.setdefault(id(run), (run, {}))
        occurrence = counts.get(what, 0)
        counts[what] = occurrence + 1
        return occurrence


class Identities:
    """Gives out identities and counts occurrences. One a process."""

    def __init__(self) -> None:
        self._occurrences = Occurrences()

    def of(self, handler: Callable[..., Any], target: str, number: int | None) -> Identity:
        """The identity of a registration that is being made right now.

        number: the one asked for, None if it is to be chosen. Must be called in the stack of the code that
        registers: it looks which module is being loaded.
        """
        name = name_of(handler)
        found = loading()
        if found is None:
            return _runtime(handler, name, target, number)
        source, run = found
        if run is _CALLED:
            source = _source_of(handler)
        occurrence = self._occurrences.next(run, (source, name, target))
        return Identity(source, name, target, False, digest("app", source, name, target, str(occurrence)))


def name_of(handler: Callable[..., Any]) -> str:
    """A handler's qualified name: of the function behind a partial or method, else of its class."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    name = getattr(handler, "__qualname__", None)
    return name if isinstance(name, str) else type(handler).__qualname__


def _runtime(handler: Callable[..., Any], name: str, target: str, number: int | None) -> Identity:
    source = _source_of(handler)
    if number is None:  # chosen for this process alone: always a new one
        return Identity(source, name, target, True, os.urandom(16))
    return Identity(source, name, target, True, digest("runtime", source, name, target, str(number)))


def loads(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """A function of ours that loads the app: modules further out, as a web server's script, are none of it.

    What the app registers below it while no module of its own is loaded, in the factory of an application, is
    known by the file of the handler: the same in every process that calls the factory.
    """
    _loaders.add(function.__code__)
    return function


def loading() -> tuple[str, object] | None:
    """Real path and run of the innermost module that is being loaded, `__main__` included; None if none is.

    '' and _CALLED where the app is loaded, and calls a function.

    Must be called in the stack of the code that registers something.

    A module's code runs in a frame named <module>. What exec() runs from a string, an interactive line or
    `python -c` has no file: it is no loading.
    """
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name == "<module>" and "__name__" in frame.f_globals and _is_file(code.co_filename):
            run = frame.f_globals.get("__spec__")
            return os.path.realpath(code.co_filename), frame.f_globals if run is None else run
        if code in _loaders:
            return "", _CALLED
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None


def loads_module() -> bool:
    """True while a module is being imported by the caller, which a program (`__main__`) is not."""
    found = loading()
    spec = found[1] if found is not None else None
    return getattr(spec, "name", "__main__") != "__main__" and bool(getattr(spec, "_initializing", False))


def _is_file(name: str) -> bool:
    return not name.startswith("<") and not name.startswith(_OURS)


def _source_of(handler: Callable[..., Any]) -> str:
    """The file a handler is defined in, '' if it has none."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    inner = getattr(handler, "__func__", handler)
    code = getattr(inner, "__code__", None)
    if code is None:  # an object with a __call__ method
        code = getattr(vars(type(inner)).get("__call__"), "__code__", None)
    return os.path.realpath(code.co_filename) if code is not None else ""


def digest(*parts: str) -> bytes:
    """16 bytes that stand for these texts in this order (docs/formats-table.md)."""
    whole = b"".join(len(each).to_bytes(8, "little") + each for each in map(os.fsencode, map(_plain, parts)))
    with undisturbed:
        import hashlib  # 4 ms: only who registers needs it

    return hashlib.sha256(whole).digest()[:16]


def _plain(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
