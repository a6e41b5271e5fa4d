"""What the admin calls a task: a model without a table, so that there are permissions for it, and no more.

The tasks are files, and shown as such (consoles.py); nobody asks the database for them.
"""

from __future__ import annotations

from typing import Any

from django.db import models


class _Nothing(models.Manager):  # type: ignore[misc] # Django has no types
    def get_queryset(self) -> Any:
        """Whoever goes through all models (dumpdata) finds nothing, and asks no table."""
        return super().get_queryset().none()


class SpooledTask(models.Model):  # type: ignore[misc] # Django has no types
    """Permissions: view, change (retry, run now, cancel), delete (drop)."""

    id = models.CharField(primary_key=True, max_length=255)

    objects = _Nothing()

    class Meta:
        """See Django's Model.Meta."""

        managed = False
        base_manager_name = "objects"
        default_permissions = ("view", "change", "delete")
        verbose_name = "task"
        verbose_name_plural = "tasks"
