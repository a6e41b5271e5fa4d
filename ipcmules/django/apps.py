"""The app: what INSTALLED_APPS loads for "ipcmules.django"."""

from __future__ import annotations

from django.apps import AppConfig


class IpcmulesConfig(AppConfig):  # type: ignore[misc] # Django has no types
    """See Django's AppConfig."""

    name = "ipcmules.django"
    label = "ipcmules"
    verbose_name = "ipcmules"
