"""Loading the app: what --import names, with the bus's directory and paths importable.

Runs in the template, or in each process with --lazy-apps. Knows configurations, membership and Python's
import system.
"""

from __future__ import annotations

import base64
import importlib
import importlib.util
import os
import sys
from types import ModuleType

from ipcmules.bus.config import BusConfig
from ipcmules.errors import ConfigError
from ipcmules.member import membership
from ipcmules.process import child
from ipcmules.signals.identity import loads


def prepare_path(config: BusConfig) -> None:
    """Go to the bus's directory and make it and config.paths importable, those paths first."""
    os.chdir(config.directory)
    wanted = [os.path.abspath(path) for path in config.paths] + [os.getcwd()]
    sys.path[:] = wanted + [path for path in sys.path if path and path not in wanted]


@loads
def load(config: BusConfig) -> None:
    """Load the app, and publish what it registered. Raises whatever either raises."""
    membership.loading = True
    try:
        with child.guarded("the app, while it was loaded,"):
            if config.main:
                prepare_main(config.main)
            for name in config.imports:
                module = load_one(name)
                _call_factory(module, name)
    finally:
        # First: what another thread records from now on it publishes itself.
        membership.loading = False
    member = membership.peek()
    if member is not None:
        for each in membership.on_loaded:
            each(member)


def _call_factory(module: ModuleType, name: str) -> None:
    """Call the application's factory, as uWSGI does in its master: Django is set up by it.

    Not in web workers: there the server calls it.
    """
    factory = name.partition(":")[2]
    if factory.endswith("()"):
        getattr(module, factory.removesuffix("()"))()


def load_one(name: str) -> ModuleType:
    """Import MODULE, or load FILE as a module named by its stem, once. Of MODULE:FACTORY() the module."""
    if name.endswith("()"):
        name = name.partition(":")[0]
    if not name.endswith(".py") and os.sep not in name:
        return importlib.import_module(name)
    return load_file(os.path.realpath(name))


def load_file(path: str) -> ModuleType:
    """Load a source file as the module of its stem, unless it is loaded already. Returns the module."""
    stem = os.path.splitext(os.path.basename(path))[0]
    loaded = sys.modules.get(stem)
    if loaded is not None and os.path.realpath(getattr(loaded, "__file__", None) or "") == path:
        return loaded
    if not os.path.isfile(path):
        raise ConfigError(f"--import {path}: there is no such file")
    if loaded is not None:
        raise ConfigError(
            f"--import {path}: a module named {stem!r} is loaded already from "
            f"{getattr(loaded, '__file__', 'the interpreter')}: rename the file"
        )
    spec = importlib.util.spec_from_file_location(stem, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"--import {path}: not a Python source file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[stem] = module
    # What `import` does as well: says that the module is still being initialised (the identity of
    # registrations, and the error text of circular imports, look at it).
    spec._initializing = True  # type: ignore[attr-defined] # the import system's own attribute
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(stem, None)
        raise
    finally:
        spec._initializing = False  # type: ignore[attr-defined] # as above
    return module


def prepare_main(packed: str) -> None:
    """Make the embedding program's main module importable here, as __mp_main__.

    packed: base64 of the pickled dict of multiprocess.spawn.get_preparation_data(). The module is run under
    the name __mp_main__, so that what it guards with `if __name__ == "__main__"` does not run.
    """
    import pickle

    from multiprocess import spawn

    spawn.prepare(pickle.loads(base64.b64decode(packed)))
