"""Which tasks framework a project uses: Django's own (from 6.0 on), or the package django-tasks before it.

Both have the same classes under other names. The package's are taken where it is in INSTALLED_APPS, or where
Django has none. Knows these two alone.
"""

from __future__ import annotations

import importlib
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

OWN, PACKAGE = "django.tasks", "django_tasks"


def _chosen() -> str:
    try:
        installed = tuple(settings.INSTALLED_APPS)
    except ImproperlyConfigured:  # no settings yet
        installed = ()
    if any(each == PACKAGE or each.startswith(f"{PACKAGE}.") for each in installed):
        return PACKAGE
    try:
        importlib.import_module(OWN)
    except ModuleNotFoundError:
        return PACKAGE
    return OWN


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ImproperlyConfigured(
            f"ipcmules.django.TaskBackend needs Django 6.0, or the package django-tasks 0.9: {error}"
        ) from error


#: The framework's package.
NAME = _chosen()

tasks: Any = _imported(NAME)
_base = _imported(f"{NAME}.base")
_exceptions = _imported(f"{NAME}.exceptions")
signals: Any = _imported(f"{NAME}.signals")

BaseTaskBackend: Any = _imported(f"{NAME}.backends.base").BaseTaskBackend
Task, TaskContext, TaskError, TaskResult = _base.Task, _base.TaskContext, _base.TaskError, _base.TaskResult
Status: Any = _base.TaskResultStatus
#: Older versions of django-tasks have another name for it.
SUCCESSFUL: Any = getattr(Status, "SUCCESSFUL", None) or Status.SUCCEEDED
ResultDoesNotExist: Any = _exceptions.TaskResultDoesNotExist
InvalidTask: Any = getattr(_exceptions, "InvalidTask", None) or getattr(_exceptions, "InvalidTaskError", None)
InvalidTaskBackend: Any = getattr(_exceptions, "InvalidTaskBackend", None) or getattr(
    _exceptions, "InvalidTaskBackendError", None
)


def normalized(value: Any) -> Any:
    """A value as JSON gives it back. Raises TypeError or ValueError for what JSON does not have."""
    where = "django.utils.json" if NAME == OWN else f"{PACKAGE}.utils"
    return importlib.import_module(where).normalize_json(value)
