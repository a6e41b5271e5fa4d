"""Django's own tests of its tasks, with ours in the place of the backend that runs tasks at once.

They come with Django's source (`make interop` gets it). Each task is run by a spooler's own code in the
test's process, right after it was enqueued. What cannot hold is named, with the reason.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from conftest import BusEnvironment
from scripts import write

django = pytest.importorskip("django")

#: What the tests' backend is for: it has results, it knows run_after, and it waits for the commit.
NOT_OURS = (
    "test_cannot_get_result",
    "test_cannot_refresh_result",
    "test_cannot_pass_run_after",
    "test_doesnt_wait_until_transaction_commit_by_default",
)
BACKEND = """
    import os
    from ipcmules.api import tasks as spooling
    from ipcmules.django import TaskBackend
    from ipcmules.process.spooler.draining import Drain
    from ipcmules.process.spooler.outcome import Terms
    from ipcmules.spooler.store import Store

    SPOOL = os.path.realpath("spool")
    spooling.default_directory = SPOOL
    drain = Drain(Store(SPOOL), Terms())

    class ImmediateBackend(TaskBackend):
        def enqueue(self, task, args, kwargs):
            result = super().enqueue(task, args, kwargs)
            try:
                drain.run_due()
            except SystemExit:
                pass
            result.refresh()
            return result
"""
SETTINGS = """
    SECRET_KEY = "of a test"
    USE_TZ = False
    MEMORY = {"ENGINE": "django.db.backends.sqlite3"}
    DATABASES = {"default": MEMORY, "other": MEMORY}
"""


def _source() -> Path:
    version = ".".join(map(str, django.VERSION[:3]))
    found = sorted(Path(sys.prefix, "sources").glob("[dD]jango-*.tar.gz"))
    same = [each for each in found if version.removesuffix(".0") in each.name]
    if django.VERSION < (6, 0) or not same:
        pytest.skip("Django's source, 6.0 or later, is not here: make interop with Python 3.12 or later")
    return same[0]


def test_djangos_own_tests_of_tasks(bus_env: BusEnvironment) -> None:
    home = bus_env.directory
    (home / "spool").mkdir(mode=0o700)
    with tarfile.open(_source()) as archive:
        for each in archive.getmembers():
            match = re.fullmatch(r"[^/]+/tests/(tasks/\w+\.py)", each.name)
            file = archive.extractfile(each) if match else None
            if match and file:
                target = home / match[1]
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(file.read().replace(b"django.tasks.backends.immediate", b"own"))
    write(home, "own.py", BACKEND)
    write(home, "own_settings.py", SETTINGS)
    done = subprocess.run(
        [sys.executable, "-m", "django", "test", "tasks", "--settings", "own_settings", "-v", "2"],
        cwd=home,
        env={**os.environ, "PYTHONPATH": f"{home}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    ran = re.findall(r"^(test_\w+) \((tasks\.\S+)\).* \.\.\. (\w+)$", done.stderr, re.MULTILINE)
    failed = {name for name, _where, verdict in ran if verdict not in ("ok", "skipped")}
    assert failed == set(NOT_OURS), done.stderr
    assert len(ran) > 60, done.stderr
