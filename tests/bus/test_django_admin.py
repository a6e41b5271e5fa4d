"""The admin section of ipcmules.django, through Django's test client; and `manage.py ipcmules`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from conftest import BusEnvironment
from djangotasks import Project
from scripts import write
from support import run_cli, wait_until

pytestmark = pytest.mark.slow

MANAGE = """
    import os, sys
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
"""
USE = """
from django.contrib.auth.models import Permission, User
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.test.utils import setup_test_environment
setup_test_environment()
from django.utils import timezone
from datetime import timedelta
import html, io, re
from shop import tasks
from ipcmules.django import framework

LIST = "/admin/ipcmules/spooledtask/"

def user(name, *permissions):
    made = User.objects.create_user(name, is_staff=True)
    for each in permissions:
        made.user_permissions.add(Permission.objects.get(codename=f"{each}_spooledtask"))
    client = Client()
    client.force_login(made)
    return client

def page(client, path):
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    return answer.content.decode()

def keys(client, **filters):
    answer = client.get(LIST, filters)
    assert answer.status_code == 200
    found = re.findall('name="task" value="([^"]*)"', answer.content.decode())
    return [html.unescape(each) for each in found]

def act(client, action, *tasks):
    answer = client.post(LIST, {"action": action, "task": tasks}, follow=True)
    assert answer.status_code == 200, answer.status_code
    return [str(each) for each in answer.context["messages"]]

anonymous = Client().get(LIST)
assert anonymous.status_code == 302 and "login" in anonymous["Location"]
nobody, viewer = user("nobody"), user("viewer", "view")
changer, owner = user("changer", "view", "change"), user("owner", "view", "change", "delete")
assert nobody.get(LIST).status_code == 403
assert "spooledtask" not in page(nobody, "/admin/") and LIST in page(viewer, "/admin/")
assert viewer.get(LIST + "add/").status_code in (404, 302)

dead = tasks.fails.get_result(sys.argv[1])
assert dead.status == "FAILED", dead
evil = tasks.add.enqueue("<script>alert(1)</script>", "&")
later = tasks.add.using(run_after=timezone.now() + timedelta(hours=1)).enqueue(1)
assert len(keys(viewer)) == 3
[its_key] = keys(viewer, state="dead")
assert keys(viewer, function="fail") == keys(viewer, q=dead.id) == [its_key]
[late_key], [evil_key] = keys(viewer, state="scheduled"), keys(viewer, state="queued")
assert keys(viewer, state="nonsense") == [] == keys(viewer, directory="9") == keys(viewer, function="'\\"<")
text = page(viewer, LIST + "?function=%22%3E%3Cscript%3E")
assert "<script>" not in text.split("<form", 1)[1] and "&gt;&lt;script&gt;" in text

def shown(client, key):
    text = page(client, f"{LIST}?q={key.rpartition('_on_')[2]}")
    [path] = re.findall(f'href="({LIST}[^"]+/change/)"', text)
    return path, page(client, html.unescape(path))
path, text = shown(viewer, evil_key)
assert "<script>alert" not in text and "&lt;script&gt;alert(1)" in text and "shop.tasks.add" in text
assert "Run now" not in text and "Drop" not in text
path, text = shown(changer, its_key)
assert "<b>no" not in text and "&lt;b&gt;no good" in text and "in fails" in text and "Retry" in text
assert "Drop for good" not in text and "Drop for good" in page(owner, LIST)

for client, action in ((viewer, "retry"), (viewer, "drop"), (changer, "drop")):
    assert client.post(LIST, {"action": action, "task": [its_key]}).status_code == 403
strict = Client(enforce_csrf_checks=True)
strict.force_login(User.objects.get(username="owner"))
assert strict.post(LIST, {"action": "drop", "task": [its_key]}).status_code == 403
assert keys(viewer, state="dead") == [its_key]

for wrong in ("", "0", "0:", "7:uwsgi_spoolfile_on_x", "0:../uwsgi_spoolfile_on_x", "0:/uwsgi_spoolfile_on_x",
              "0:dead/../uwsgi_spoolfile_on_x", "x:y", "0:results/ipcmules_result_on_x", "0:dead/x",
              "\\0:\\0"):
    assert act(owner, "drop", wrong) == ["Drop for good: 1 not, as it is gone."], wrong
    assert owner.get(f"{LIST}{wrong.replace('/', '_2F')}/change/").status_code in (404, 301), wrong
assert act(owner, "drop") == act(owner, "nonsense", its_key) == ["Choose tasks and an action."]
assert act(owner, "retry", its_key, "0:dead/uwsgi_spoolfile_on_x") == [
    "Retry: 1 task.", "Retry: 1 not, as it is gone."]
dead.refresh()
assert dead.status == "READY" and not keys(viewer, state="dead")
assert act(changer, "run", late_key) == ["Run now: 1 task."] and keys(viewer, state="scheduled") == []
assert act(changer, "cancel", late_key) == ["Cancel: 1 task."]
[cancelled] = keys(viewer, state="cancelled")
path, text = shown(owner, evil_key)
answer = owner.post(html.unescape(path), {"action": "drop"}, follow=True)
assert [str(each) for each in answer.context["messages"]] == ["Drop for good: 1 task."]
assert keys(viewer, q=evil.id) == []
logged = LogEntry.objects.order_by("pk").values_list("user__username", "change_message", "action_flag")
assert list(logged) == [("owner", "Retry", 2), ("changer", "Run now", 2), ("changer", "Cancel", 2),
                        ("owner", "Drop for good", 3)], list(logged)
assert LIST + "0_3A" in page(changer, "/admin/")

out = io.StringIO()
call_command("dumpdata", stdout=out)
assert "ipcmules.spooledtask" not in re.findall('"model": "([^"]*)"', out.getvalue())
call_command("makemigrations", check=True, dry_run=True, verbosity=0)
call_command("check")
print("all of it")
"""


def test_the_admin_section(bus_env: BusEnvironment) -> None:
    project = Project(bus_env.directory)
    dead = project.run("from shop import tasks\nprint(tasks.fails.enqueue('<b>no good</b>').id)").strip()
    ran = run_cli(
        *("tasks", "run", str(project.spool), "--import", "ipcmules.django.project", "--once"),
        cwd=project.home,
        env={"DJANGO_SETTINGS_MODULE": "settings"},
    )
    assert "1 given up" in ran.stdout, ran.stdout + ran.stderr
    assert project.run(USE, dead, migrated=True).strip().endswith("all of it")


def test_the_command_loads_the_project(bus_env: BusEnvironment, bus_name: str) -> None:
    project = Project(bus_env.directory)
    write(project.home, "manage.py", MANAGE)
    elsewhere = bus_env.directory

    def manage(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "project/manage.py", "ipcmules", *arguments],
            cwd=elsewhere,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    ask = "from shop import tasks\nprint(tasks.add.enqueue(1, two=1).id)"
    first = project.run(ask).strip()
    drained = manage("tasks", "run", "project/spool", "--once", "--settings", "settings")
    assert "1 done" in drained.stdout, drained.stdout + drained.stderr
    spool = ("--spooler", "project/spool")
    program = [
        sys.executable,
        "project/manage.py",
        "ipcmules",
        "run",
        "--settings=settings",
        "--bus",
        bus_name,
    ]
    with subprocess.Popen([*program, *spool, "--", "sleep", "600"], cwd=elsewhere) as running:
        try:
            wait_until(lambda: manage("status", "--bus", bus_name).returncode == 0, 30, "the bus", every=0.1)
            second = project.run(ask).strip()
            asked = f"print(*(tasks.add.get_result(each).status for each in {[first, second]}))"
            found = f"from shop import tasks\n{asked}"
            wait_until(lambda: project.run(found).split() == ["SUCCESSFUL"] * 2, 30, "both tasks", every=0.1)
            listed = manage("tasks", "list", "project/spool", "--state", "succeeded", "--json")
            assert len(json.loads(listed.stdout)) == 2
        finally:
            running.terminate()
    assert running.returncode == 0
    assert manage("tasks", "show", "nothing", "--dir", "project/spool").returncode == 2
