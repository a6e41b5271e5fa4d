"""What the tests of the moved-over examples share: the requests, whatever serves them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from support import wait_until

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def prepare(example: str, directory: Path) -> Path:
    """Copy an example to a directory and make its database; where it is."""
    there = directory / example
    shutil.copytree(
        EXAMPLES / example, there, ignore=shutil.ignore_patterns("__pycache__", "spool", "*.sqlite3")
    )
    if example == "uwsgi_django":
        # Without checks: they import the URLs, and these the jobs, which want a bus.
        subprocess.run(
            [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--skip-checks", "-v", "0"],
            cwd=there,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "shop.settings", "PYTHONPATH": str(there)},
            check=True,
            timeout=60,
        )
    return there


def ask(port: int, method: str, path: str, **form: str) -> Any:
    """One request; the JSON of its answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Host": "127.0.0.1"}
        connection.request(method, path, urlencode(form) if form else None, headers if form else {})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body[-2000:]
        return json.loads(body)
    finally:
        connection.close()


def check(example: str, port: int, minute: bool = False) -> None:
    """Order ten times; all are billed and mailed once, and the timer runs.

    minute: wait for Flask's cron, too, which runs once a minute.
    """
    numbers = [ask(port, "POST", "/orders", to=f"{each}@example.org")["number"] for each in range(10)]
    assert sorted(numbers) == list(range(1, 11))

    def done() -> bool:
        state = ask(port, "GET", "/state")
        if example == "uwsgi_flask":
            bills = sorted(int(each.split()[0]) for each in state["bills"])
            mails = sorted(int(each.split()[0]) for each in state["mails"])
            return (
                bills == mails == list(range(1, 11))
                and len(state["beats"]) >= 2
                and (bool(state["minutes"]) or not minute)
            )
        orders = [(mule, mailed) for _, _, mule, mailed in state["orders"]]
        return orders == [(1, True)] * 10 and state["beats"] >= 2

    wait_until(done, 100, "ten bills, ten mails, two beats and what was asked for", every=0.1)
