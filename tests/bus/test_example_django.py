"""The example of Django's tasks: a browser asks gunicorn, spoolers run the tasks, the admin shows them."""

from __future__ import annotations

import html
import http.cookiejar
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from conftest import BusEnvironment
from djangotasks import needs_tasks
from support import run_cli, wait_until

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "django_tasks"
LIST = "/admin/ipcmules/spooledtask/"


class Browser:
    """Keeps cookies, and fills in forms."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))

    def ask(self, path: str, **form: str) -> str:
        """A page, after redirects; a form is posted."""
        token = next((each.value for each in self._cookies if each.name == "csrftoken"), None)
        data = urllib.parse.urlencode({"csrfmiddlewaretoken": token or "", **form}).encode() if form else None
        with self._opener.open(f"{self._address}{path}", data, timeout=30) as answer:
            return str(answer.read().decode())

    def json(self, path: str, **form: str) -> Any:
        """An answer that is JSON."""
        return json.loads(self.ask(path, **form))


def manage(home: Path, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=home,
        env={**os.environ, "DJANGO_SUPERUSER_PASSWORD": "secret"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_orders_are_baked_and_mailed_and_the_admin_shows_them(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    needs_tasks()
    home = bus_env.directory / "django_tasks"
    shutil.copytree(EXAMPLE, home, ignore=shutil.ignore_patterns("*.sqlite3", "__pycache__", "ovens", "mail"))
    manage(home, "migrate", "--run-syncdb", "--verbosity", "0")
    manage(home, "createsuperuser", "--noinput", "--username", "boss", "--email", "boss@example.org")
    serve = (sys.executable, "-m", "gunicorn", "-w", "2", "-b", "127.0.0.1:0", "bakery.wsgi")
    program = [sys.executable, "manage.py", "ipcmules", "run", "--bus", bus_name]
    log = tmp_path / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [*program, "--spooler", "ovens:2", "--spooler", "mail:1", "--", *serve], cwd=home, stderr=output
        ) as running,
    ):
        try:
            told = wait_until(lambda: re.search(r"Listening at: (http://\S+)", log.read_text()), 30)
            browser = Browser(told[1])
            number = browser.json("/orders", bread="rye", to="someone@example.org")["number"]

            def order(number: int) -> Any:
                return browser.json(f"/orders/{number}")

            wait_until(lambda: order(number)["mailed"] == 1, 30, "the mail")
            wait_until(lambda: order(number)["status"] != "RUNNING", 30, "the result")
            assert order(number) == {
                "status": "SUCCESSFUL",
                "told": "rye for someone@example.org",
                "errors": [],
                "baked": True,
                "mailed": 1,
            }
            stone = browser.json("/orders", bread="stone", to="<b>someone@example.org")["number"]
            wait_until(lambda: order(stone)["status"] == "FAILED", 30, "the failure")
            assert order(stone)["errors"] == ["builtins.ValueError"]

            browser.ask("/admin/login/")
            browser.ask("/admin/login/", username="boss", password="secret", next=LIST)
            shown = browser.ask(f"{LIST}?state=dead")
            [key] = re.findall('name="task" value="([^"]*)"', shown)
            [path] = re.findall(f'href="({LIST}[^"]+/change/)"', shown)
            assert "a stone cannot be baked" in browser.ask(html.unescape(path))
            done = browser.ask(f"{LIST}?state=dead", action="retry", task=html.unescape(key))
            assert "Retry: 1 task." in html.unescape(done)

            def failed_twice() -> bool:
                # What it raised is known a moment before it is dead.
                found = order(stone)
                return found["status"] == "FAILED" and len(found["errors"]) == 2

            wait_until(failed_twice, 30, "the second failure")
            done = browser.ask(f"{LIST}?state=dead", action="drop", task=html.unescape(key))
            assert "Drop for good: 1 task." in html.unescape(done)
            listed = run_cli("tasks", "list", "--bus", bus_name, "--state", "succeeded", "--json")
            assert sorted(each["function"] for each in json.loads(listed.stdout)) == [
                "bakery.tasks.bake",
                "bakery.tasks.tell",
            ]
        except AssertionError as error:
            raise AssertionError(f"{error}\n{log.read_text()[-5000:]}") from error
        finally:
            running.terminate()
    assert running.returncode == 0, log.read_text()
