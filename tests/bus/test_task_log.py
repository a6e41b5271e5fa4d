"""What the log and status say of tasks and of what an app's functions raise."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest

from conftest import BusEnvironment
from ipcmules.bus import log
from ipcmules.process import dispatch
from spoolers import Spooling
from support import wait_until

APP = """
import os, time
os.environ["TZ"] = "Asia/Tokyo"  # as Django does
time.tzset()
from ipcmules.decorators import spool
from tasks_app import note

@spool(pass_arguments=True, retries=1, backoff=0.05)
def fails(key):
    note(task={"key": key})
    raise ValueError("no good")

@spool(pass_arguments=True)
def fine(key):
    note(task={"key": key})

@spool(pass_arguments=True, retries=3, backoff=0.05)
def second_time(key):
    note(task={"key": key})
    if not os.path.exists("once"):
        open("once", "w").close()
        raise ValueError("not yet")
"""


def test_events_of_tasks_have_fields_and_status_counts_exceptions(
    bus_env: BusEnvironment, bus_name: str
) -> None:
    spooling = Spooling(bus_env.directory, bus_name)
    (spooling.home / "log_app.py").write_text(APP)
    code = "import log_app as a; a.fine('a'); a.fails('b'); a.second_time('c'); import time; time.sleep(99)"
    options = ("--import", "log_app", "--log-format", "json", "--", sys.executable, "-c", code)
    with spooling.start(*options, ready=False) as launcher:
        wait_until(lambda: "done" in launcher.stderr, what="the first task")
        wait_until(lambda: spooling.dead() and not spooling.tasks(), what="all tasks to be done or dead")
        assert spooling.status()["spoolers"][0]["exceptions"] == 3
    lines = [json.loads(each) for each in launcher.stderr.splitlines()]
    assert all(each["time"].endswith("+00:00") for each in lines)
    told: dict[str, list[dict[str, Any]]] = {}
    for each in lines:
        if "task" in each:
            assert each["duration"] >= 0 and each["task"] in each["message"]
            told.setdefault(each["function"], []).append(each)
    assert [each["attempt"] for each in told["fine"]] == [1]
    assert [each["attempt"] for each in told["fails"]] == [1, 2]
    assert [each["attempt"] for each in told["second_time"]] == [1, 2]
    assert "ValueError: no good" in told["fails"][0]["message"]
    assert all("task=" not in each["message"] for each in lines)


def test_handlers_of_the_logger_get_the_exception(caplog: pytest.LogCaptureFixture) -> None:
    def handler(_number: int) -> None:
        raise ValueError("100% no good")

    dispatch.run(handler, "a handler", 7)
    (record,) = caplog.records
    assert record.exc_info is not None and record.exc_info[0] is ValueError
    assert record.msg.startswith("a handler,") and not record.args
    # Python's own formatter adds the traceback, once.
    assert logging.Formatter().format(record).count("Traceback") == 1
    caplog.clear()
    log.event("warning", "50% of %s", None, key=1)
    assert caplog.records[0].getMessage() == "50% of %s key=1"
