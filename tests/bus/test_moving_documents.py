"""The pages for who comes from Celery, RQ or huey, django.md and asyncio.md: their programs, run."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from conftest import BusEnvironment
from djangotasks import needs_tasks
from documented import Page
from scripts import write
from support import Launcher

pytestmark = pytest.mark.slow

MANAGE = """
    import os, sys
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
"""

ASK = """
    import asyncio
    from app import app

    async def ask():
        sent = []
        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}
        async def send(message):
            sent.append(message.get("body", b""))
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
                 "path": "/notes", "raw_path": b"/notes", "query_string": b"text=hello", "headers": [],
                 "scheme": "http", "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1), "root_path": ""}
        async with app.router.lifespan_context(app):
            await app(scope, receive, send)
        import json
        print(json.loads(b"".join(sent)))

    asyncio.run(ask())
"""


@pytest.mark.parametrize(
    ("page", "printed"),
    [("from-celery.md", ["10", "30"]), ("from-rq.md", ["10 30"]), ("from-huey.md", ["10", "15"])],
)
def test_the_same_program(bus_env: BusEnvironment, bus_name: str, page: str, printed: list[str]) -> None:
    found = Page(page)
    launcher = found.run(bus_env.directory, bus_name, "tasks.py", "use.py")
    assert [each for each in launcher.stdout.splitlines() if each != "tidied"] == printed
    for each in re.findall(r"```python\n# before: (.*?)\n(.*?)```", found.text, re.DOTALL):
        compile(each[1], each[0], "exec")


def test_the_example_of_djangos_tasks(bus_env: BusEnvironment, bus_name: str) -> None:
    needs_tasks()
    import django

    page = Page("django.md")
    home = bus_env.directory
    page.write(home, "settings.py", "shop/tasks.py", "ask.py")
    if django.VERSION < (6, 0):  # as the page says
        tasks = home / "shop" / "tasks.py"
        tasks.write_text(tasks.read_text().replace("from django.tasks", "from django_tasks"))
        settings = home / "settings.py"
        settings.write_text(settings.read_text().replace('"shop"', '"shop", "django_tasks"'))
    write(home, "manage.py", MANAGE)
    line = "    python manage.py ipcmules run --spooler tasks:2 --spooler mail:1 -- python ask.py\n"
    assert line in page.text
    options = line.partition(" -- ")[0].split()[4:]
    done = subprocess.run(
        [
            sys.executable,
            "manage.py",
            "ipcmules",
            "run",
            "--bus",
            bus_name,
            *options,
            "--",
            sys.executable,
            "ask.py",
        ],
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["SUCCESSFUL 3", "SUCCESSFUL mail to you, attempt 1"], done.stderr


def test_the_example_of_fastapi(bus_env: BusEnvironment, bus_name: str) -> None:
    pytest.importorskip("fastapi")
    page = Page("reference/asyncio.md")
    page.write(bus_env.directory, "app.py")
    write(bus_env.directory, "ask.py", ASK)
    assert "    ipcmules run --mules 1 -- uvicorn app:app\n" in page.text
    command = (sys.executable, "ask.py")
    with Launcher("--bus", bus_name, "--mules", "1", command=command, cwd=bus_env.directory) as launcher:
        launcher.wait(60)
    assert launcher.stdout.split("\n")[0] == str({"sent": True, "bus": bus_name}), launcher.output()
