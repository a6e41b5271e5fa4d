"""A Django project for tests of packages that use uWSGI: served by it, or by gunicorn beside ours."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from realuwsgi import Server
from scripts import write
from support import Launcher, wait_until

#: Of every project. What a test adds stands behind it.
SETTINGS = """
    from pathlib import Path

    BASE = Path(__file__).resolve().parent
    SECRET_KEY = "of a test"
    ALLOWED_HOSTS = ["*"]
    ROOT_URLCONF = "views"
    USE_TZ = True
    STATIC_URL = "/static/"
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": BASE / "site.db",
            "OPTIONS": {"timeout": 30},
        }
    }
    DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
"""
WSGI = """
    import os
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    from django.core.wsgi import get_wsgi_application
    application = get_wsgi_application()
    import views  # Django does it at the first request: too late for spoolers and mules
"""

Ask = Callable[[str], Any]
#: What is done with a site, and what of it is compared.
Story = Callable[[Ask, Path], list[Any]]


def make(directory: Path, settings: str, views: str, path: str = "") -> None:
    """Write the project and its database. path: a directory of packages that go before all others."""
    directory.mkdir()
    (directory / "spool").mkdir()
    write(directory, "settings.py", SETTINGS + settings)
    write(directory, "wsgi.py", WSGI)
    write(directory, "views.py", views)
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": f"{path}:{directory}"}
    migrate = ("migrate", "--run-syncdb", "--skip-checks", "--verbosity", "0")  # checks import the views
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "django", *migrate],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _asker(address: str) -> Ask:
    def ask(path: str) -> Any:
        connection = http.client.HTTPConnection(address, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode()
            assert answer.status == 200, text[-3000:]
            return json.loads(text)
        finally:
            connection.close()

    return ask


def under_uwsgi(binary: str, directory: Path, story: Story, path: str = "", *options: str) -> list[Any]:
    """Serve the project with the real uWSGI, and tell the story."""
    paths = [word for each in (path, str(directory)) if each for word in ("--pythonpath", each)]
    server = Server(
        *(binary, directory, "--http-socket", "127.0.0.1:0", "--module", "wsgi", "--spooler", "spool"),
        *("--enable-threads", "--processes", "1", *paths, *options),
    )
    try:
        server.wait_for("spawned uWSGI worker 1")
        addresses = re.findall(r"bound to TCP address (127\.0\.0\.1:\d+)", server.text)
        return story(_asker(addresses[-1]), directory)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{server.text[-5000:]}") from error
    finally:
        server.end()


@contextmanager
def _ours(name: str, directory: Path, path: str, options: tuple[str, ...]) -> Iterator[tuple[Launcher, Ask]]:
    gunicorn = [sys.executable, "-m", "gunicorn", "-b", "127.0.0.1:0", "wsgi:application"]
    with Launcher(
        *("--bus", name, "--compat", "--spooler", "spool", "--import", "wsgi", *options),
        command=gunicorn,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": path} if path else None,
    ) as launcher:
        found = wait_until(lambda: re.search(r"Listening at: http://(127\S+:\d+)", launcher.stderr), 30)
        yield launcher, _asker(found[1])


def under_ours(name: str, directory: Path, story: Story, path: str = "", *options: str) -> list[Any]:
    """Serve the project with gunicorn on a bus, and tell the story."""
    with _ours(name, directory, path, options) as (launcher, ask):
        try:
            told = story(ask, directory)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{launcher.output()[-5000:]}") from error
        launcher.stop()
    return told
