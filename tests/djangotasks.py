"""A Django project whose tasks ipcmules runs, and drivers: programs that use them on a bus or off it.

Import it as `from djangotasks import Project` (pytest puts this directory on sys.path).
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import write
from support import Launcher, run_cli

SETTINGS = """
from pathlib import Path
import django

BASE = Path(__file__).resolve().parent
SECRET_KEY = "of a test"
USE_TZ = True
ALLOWED_HOSTS = ["*"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE / "site.db",
                         "OPTIONS": {"timeout": 30}}}
INSTALLED_APPS = [
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
    "django.contrib.messages", "ipcmules.django", "shop",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
    "OPTIONS": {"context_processors": [
        "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages"]},
}]
ROOT_URLCONF = "urls"
STATIC_URL = "/static/"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
BACKEND = {"BACKEND": "ipcmules.django.TaskBackend", "QUEUES": []}
TASKS = {
    "default": {**BACKEND, "OPTIONS": {"spooler": BASE / "spool"}},
    "stubborn": {**BACKEND, "OPTIONS": {"spooler": BASE / "spool", "retries": 2, "backoff": 0.02}},
}
if django.VERSION < (6, 0):
    INSTALLED_APPS.append("django_tasks")
"""
URLS = """
from django.contrib import admin
from django.urls import path
urlpatterns = [path("admin/", admin.site.urls)]
"""
MIGRATE = """
from django.core.management import call_command
call_command("migrate", verbosity=0)
"""
#: What each program begins with.
BEGIN = """
import os, sys, time, asyncio
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
sys.path.insert(0, os.getcwd())
import django
django.setup()
"""
TASKS = """
import json, os, signal, time
from ipcmules import Drop, Retry, current_task
from ipcmules.django import framework, spooled

task = framework.tasks.task

def note(**what):
    with open(os.path.join(os.path.dirname(__file__), "..", "notes"), "ab", buffering=0) as file:
        file.write(json.dumps(what).encode() + b"\\n")

def say(sender, task_result, signal=None, **rest):
    kind = "started" if signal is framework.signals.task_started else "finished"
    note(signal=kind, id=task_result.id, status=task_result.status, sender=sender.__name__)

framework.signals.task_started.connect(say)
framework.signals.task_finished.connect(say)

@task
def add(one, two=0):
    note(added=one)
    return one + two

@task
async def twice(value):
    return value * 2

@task
def nothing(*args, **kwargs):
    return None

@task(takes_context=True)
def tells(context, what):
    context.task_result.refresh()
    return [context.attempt, context.task_result.id, str(context.task_result.status), what]

class Odd(Exception):
    pass

@task
def fails(text="no good"):
    raise Odd(text)

@task
@spooled(retries=1, backoff=0.02)
def fails_twice():
    raise Odd("again")

@task
@spooled(retries=1, backoff=0.02)
def retries():
    if current_task().attempt == 1:
        raise Retry(after=0.02)
    return "done"

@task
@spooled(expires=0.001)
def stale():
    note(stale=True)

@task
def drops():
    raise Drop("no such user")

@task
def leaves():
    raise SystemExit("ended")

@task
def dies():
    os.kill(os.getpid(), signal.SIGKILL)

@task
def odd_value():
    return lambda: True

@task(backend="stubborn")
def stubborn():
    raise Odd("stubborn")

@task
def waits(path):
    while not os.path.exists(path):
        time.sleep(0.005)
    return "waited"

@task
@spooled(retries=1, backoff=0.02)
def waits_twice(path):
    return waits.call(path)

def unseen():
    return None

hidden = task(unseen)
"""


def needs_tasks() -> None:
    """Skip the test where neither Django's tasks nor the package before them are there."""
    django = pytest.importorskip("django")
    if django.VERSION < (6, 0) and importlib.util.find_spec("django_tasks") is None:
        pytest.skip("neither Django 6 nor django-tasks is installed")


class Project:
    """In a directory of its own; settings: more lines of settings.py."""

    def __init__(self, directory: Path, settings: str = "") -> None:
        needs_tasks()
        self.home = directory / "project"
        self.spool = self.home / "spool"
        (self.home / "shop").mkdir(parents=True)
        self.spool.mkdir(mode=0o700)
        (self.home / "shop" / "__init__.py").touch()
        (self.home / "settings.py").write_text(SETTINGS + settings)
        write(self.home, "urls.py", URLS)
        (self.home / "shop" / "tasks.py").write_text(TASKS)
        self.environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings"}

    def program(self, text: str) -> Path:
        """Write a program of the project, and return its path."""
        path = self.home / f"program{len(list(self.home.glob('program*')))}.py"
        path.write_text(BEGIN + text)
        return path

    def run(self, text: str, *arguments: str, migrated: bool = False) -> str:
        """What a program prints that runs on no bus; migrated: with the tables of Django's apps."""
        if migrated:
            text = f"{MIGRATE}{text}"
        done = subprocess.run(
            [sys.executable, "-W", "ignore", str(self.program(text)), *arguments],
            cwd=self.home,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def status(self, bus: str) -> dict[str, Any]:
        """`ipcmules status --json`."""
        found: dict[str, Any] = json.loads(run_cli("status", "--bus", bus, "--json").stdout)
        return found

    def start(self, bus: str, *options: str, command: tuple[str, ...] = (), **more: Any) -> Launcher:
        """A bus whose spoolers have loaded the project."""
        ours = ("--bus", bus, "--import", "ipcmules.django.project", "--spooler-frequency", "0.2")
        nice = ("--spooler-nice", "0")
        return Launcher(*ours, *nice, *options, command=command, cwd=self.home, env=self.environment, **more)
