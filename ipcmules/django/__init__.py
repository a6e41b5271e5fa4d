"""For Django: a cache, a backend for its tasks, an app with an admin section and `manage.py ipcmules`.

    INSTALLED_APPS = [..., "ipcmules.django"]
    CACHES = {"default": {"BACKEND": "ipcmules.django.Cache", "LOCATION": "sessions"}}
    TASKS = {"default": {"BACKEND": "ipcmules.django.TaskBackend"}}

Each is of use without the others. Knows the flat functions, what @spool says, the files of a spool directory,
and Django, which is imported when one of these names is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ipcmules.django.backend import TaskBackend
    from ipcmules.django.cache import Cache
    from ipcmules.django.manners import spooled

__all__ = ["Cache", "TaskBackend", "spooled"]

#: Where each is.
_HOMES = {"Cache": "cache", "TaskBackend": "backend", "spooled": "manners"}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
