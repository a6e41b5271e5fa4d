"""The project, for --import: Django is set up, and the module `tasks` of each of its apps loaded.

    DJANGO_SETTINGS_MODULE=shop.settings ipcmules run --spooler tasks --import ipcmules.django.project

`manage.py ipcmules run` says so by itself. Knows Django alone.
"""

from __future__ import annotations

import django
from django.utils.module_loading import autodiscover_modules

django.setup()
autodiscover_modules("tasks")
