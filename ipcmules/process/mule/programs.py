"""What a programmed mule runs: a file as __main__, a callable by name, or a pickled function.

A program is loaded first and entered afterwards: what fails while it is loaded fails the bus's start.
Knows configurations and Python's import system.
"""

from __future__ import annotations

import base64
import importlib
import io
import os
import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import Any

from ipcmules.bus.config import BusConfig, Program
from ipcmules.errors import ConfigError


def load(program: Program, config: BusConfig) -> Callable[[], Any]:
    """The function that runs a program. Raises ConfigError if it is missing, and what loading it raises."""
    sys.argv = [program.target if program.kind != "pickled" else str(program), *config.pyargv]
    if program.kind == "file":
        return _load_file(program.target)
    if program.kind == "callable":
        return _load_callable(program.target)
    return _load_pickled(program.target)


def _load_file(target: str) -> Callable[[], Any]:
    path = os.path.abspath(target)
    try:
        with io.open_code(path) as file:
            source = file.read()
    except OSError as error:
        raise ConfigError(f"mule program {target} cannot be read: {error.strerror} ({path})") from error
    code = compile(source, path, "exec", dont_inherit=True)
    directory = os.path.dirname(path)
    # As `python path.py`: its directory first, and it is __main__ for good (pickle and atexit look it up).
    sys.path.insert(0, directory)
    module = ModuleType("__main__")
    module.__file__ = path
    module.__loader__ = SourceFileLoader("__main__", path)
    module.__dict__.update(__builtins__=__builtins__, __cached__=None)
    sys.modules["__main__"] = module

    def run() -> None:
        exec(code, module.__dict__)

    return run


def _load_callable(target: str) -> Callable[[], Any]:
    name, _, attribute = target.partition(":")
    module = importlib.import_module(name)
    found = getattr(module, attribute, None)
    if found is None:
        raise ConfigError(f"mule program {target}: module {name} ({module.__file__}) has no {attribute!r}")
    if not callable(found):
        raise ConfigError(f"mule program {target}: {attribute!r} is a {type(found).__name__}, not callable")
    return found  # type: ignore[no-any-return] # callable() says so, getattr cannot


def _load_pickled(target: str) -> Callable[[], Any]:
    import dill

    function = dill.loads(base64.b64decode(target))
    if not callable(function):
        raise ConfigError(f"mule program {function!r} is not callable")
    return function  # type: ignore[no-any-return] # as above
