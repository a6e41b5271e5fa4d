"""Runs at the start of every Python below `ipcmules run -- COMMAND`: PYTHONPATH leads there.

Has the modules of web servers that are known told to ipcmules/servers/patches.py when they are imported, and
costs other programs a look at a name for each import. Then runs the sitecustomize that would have run without
this one.
"""

import os
import sys
from importlib import import_module
from importlib.machinery import PathFinder

TYPE_CHECKING = False  # without typing, which would cost every Python that starts here
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))
_WANTED = frozenset(
    (
        "gunicorn.arbiter",
        "gunicorn.workers.base",
        "granian._internal",
        "granian.server.mp",
        "granian.server.mt",
        "uvicorn.config",
        "uvicorn.server",
        "uvicorn.supervisors.basereload",
        "uvicorn.supervisors.multiprocess",
    )
)


class _Finder:
    """Finds nothing itself: has the module that others find looked at once it is there."""

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        if name not in _WANTED:
            return None
        for each in sys.meta_path:
            if each is self or not hasattr(each, "find_spec"):
                continue
            spec = each.find_spec(name, path, target)
            if spec is not None:
                _look_afterwards(spec.loader)
                return spec
        return None


def _look_afterwards(loader: "Any") -> None:
    try:
        execute = loader.exec_module

        def exec_module(module: "ModuleType") -> None:
            execute(module)
            try:
                _patches().apply(module)
            except Exception as error:  # another Python of the command's, without what ipcmules needs
                print(
                    f"ipcmules: the workers of {module.__name__} are no workers of bus "
                    f"{os.environ['IPCMULES_BUS']}: {error}: install ipcmules for {sys.executable}",
                    file=sys.stderr,
                )

        loader.exec_module = exec_module
    except AttributeError:
        pass  # a loader of another kind: the server is as one that is not known


def _patches() -> "Any":
    try:
        return import_module("ipcmules.servers.patches")
    except ModuleNotFoundError:
        # A virtual environment of the application's own that ipcmules is not installed in.
        sys.path.append(os.path.abspath(os.path.join(_HERE, "..", "..", "..")))
        return import_module("ipcmules.servers.patches")


def _go_on() -> None:
    """Run the sitecustomize of this Python, or of whoever put one into PYTHONPATH behind ours."""
    others = [each for each in sys.path if os.path.abspath(each or ".") != _HERE]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is None or spec.loader is None:
        return
    from importlib.util import module_from_spec

    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


if sys.version_info >= (3, 10) and os.environ.get("IPCMULES_BUS") and os.environ.get("IPCMULES_SERVE") != "0":
    sys.meta_path.insert(0, _Finder())
_go_on()
