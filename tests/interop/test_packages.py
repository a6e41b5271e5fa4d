"""Packages from PyPI that use the uwsgi module, as they are: each one's main job under uWSGI and under ours.

tests/bus has more of uwsgi-tasks and uwsgiconf.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from djangosite import Ask, Story, make, under_ours, under_uwsgi
from support import wait_until

Both = Callable[..., tuple[list[Any], list[Any]]]


@pytest.fixture
def both(bus_env: object, bus_name: str, tmp_path: Path, uwsgi_binary: str) -> Both:
    """Tells a story of one project on either side."""

    def told(settings: str, views: str, story: Story, path: str = "", *options: str) -> Any:
        sides = []
        for name in ("there", "here"):
            make(tmp_path / name, settings, views, path)
        sides.append(under_uwsgi(uwsgi_binary, tmp_path / "there", story, path, *options))
        sides.append(under_ours(bus_name, tmp_path / "here", story, path, *options))
        return tuple(sides)

    return told


# django-uwsgi-taskmanager: management commands as tasks of the spooler, now, later, and again and again

MANAGER = """
    INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "taskmanager"]
    MEDIA_ROOT = str(BASE / "media")
"""
MANAGER_VIEWS = """
    import datetime, os
    from django.http import JsonResponse
    from django.urls import path
    from taskmanager.models import AppCommand, Report, Task

    def launch(request, arguments, period):
        command, _ = AppCommand.objects.get_or_create(name="test_command", app_name="taskmanager")
        task = Task(name="a task", command=command, arguments=arguments.replace("+", ", "))
        # It saves the status after it has spooled: what runs at once may have said that it is over before.
        task.scheduling = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
        task.repetition_period = period if period != "once" else ""
        task.save()
        task.launch()
        return JsonResponse(task.pk, safe=False)

    def look(request, pk):
        task = Task.objects.get(pk=pk)
        return JsonResponse({
            "status": task.status,
            "file": bool(task.spooler_id) and os.path.exists(task.spooler_id),
            "reports": [[each.invocation_result, each.log] for each in task.report_set.order_by("id")],
        })

    def stop(request, pk):
        task = Task.objects.get(pk=pk)
        file = task.spooler_id
        task.stop()
        return JsonResponse([task.status, os.path.exists(file)], safe=False)

    urlpatterns = [
        path("launch/<str:arguments>/<str:period>", launch),
        path("look/<int:pk>", look),
        path("stop/<int:pk>", stop),
    ]
"""


def _manage(ask: Ask, _directory: Path) -> list[Any]:
    def over(task: int, status: str) -> Any:
        found = ask(f"/look/{task}")
        return found if found["status"] == status and found["reports"] and found["reports"][0][1] else None

    def lines(found: Any) -> Any:
        return [(result, log.splitlines()[1:-1]) for result, log in found["reports"]], found["file"]

    once = ask("/launch/first+second/once")
    told = [lines(wait_until(lambda: over(once, "idle"), 40, "the task"))]
    wrong = ask("/launch/alone/once")
    told.append(lines(wait_until(lambda: over(wrong, "idle"), 40, "the task that fails")))
    again = ask("/launch/first+second+-a/day")
    told.append(lines(wait_until(lambda: over(again, "spooled"), 40, "the one that repeats")))
    return [*told, ask(f"/stop/{again}")]


def test_taskmanager(both: Both) -> None:
    pytest.importorskip("taskmanager")
    theirs, ours = both(MANAGER, MANAGER_VIEWS, _manage, "", "--spooler-frequency", "1")
    assert ours == theirs
    (reports, file), *_, stopped = ours
    assert reports[0][0] == "ok" and "first" in reports[0][1] and file is False
    assert stopped == ["idle", False]


# django-uwsgi-ng: its own decorators, its figures, the page that shows them

NG = """
    INSTALLED_APPS = [
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "django_uwsgi",
    ]
    MIDDLEWARE = []
    TEMPLATES = [{
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": [
            "django.template.context_processors.request",
            "django.contrib.auth.context_processors.auth",
        ]},
    }]
"""
NG_VIEWS = """
    import re, sys
    from pathlib import Path
    from types import SimpleNamespace
    from django.contrib import admin
    from django.http import JsonResponse
    from django.urls import include, path
    from django_uwsgi import decorators, stats, uwsgi, views

    HERE = Path(__file__).resolve().parent

    def note(text):
        with open(HERE / "notes", "a") as file:
            file.write(text + "\\n")

    @decorators.spool
    def work(arguments):
        note(f"worked {arguments['x']} {arguments['ud_spool_func']}")

    @decorators.spool(pass_arguments=True)
    def add(one, two=0):
        note(f"added {one + two}")

    @decorators.mulefunc
    def by_mule(number):
        note(f"mule {uwsgi.mule_id()} got {number}")

    @decorators.signal(40, target="worker")
    def forty(number):
        note(f"signal {number}")

    @decorators.timer(1, target="mule1")
    def tick(number):
        note("tick")

    @decorators.lock
    def locked():
        return bool(uwsgi.is_locked())

    def run(request):
        work.spool(x="seven")
        add.spool(3, two=4)
        by_mule(5)
        return JsonResponse([locked(), bool(uwsgi.is_locked())], safe=False)

    def figures(request):
        found = dict(stats.get_uwsgi_stats()["stats"])
        names = ("numproc", "buffer_size", "cores", "loop", "masterpid")
        known = {name: str(found[name]) for name in names}
        known["masterpid"] = known["masterpid"].isdigit() and int(known["masterpid"]) > 0
        workers = stats.get_uwsgi_stats()["workers"]
        return JsonResponse([known, sorted(found), [sorted(each) for each in workers]], safe=False)

    def page(request):
        request.user = SimpleNamespace(
            is_superuser=True, is_active=True, is_staff=True, has_usable_password=lambda: True,
            get_username=lambda: "root", get_short_name=lambda: "", has_perm=lambda *_: True,
            has_module_perms=lambda *_: True,
        )
        answer = views.UwsgiStatus.as_view()(request)
        text = answer.render().content.decode()
        return JsonResponse(re.findall(r"<h\\d>.*?</h\\d>|<th.*?</th>", text), safe=False)

    def signal(request):
        uwsgi.signal(40)
        return JsonResponse(True, safe=False)

    urlpatterns = [
        path("admin/uwsgi/", include("django_uwsgi.urls")),
        path("admin/", admin.site.urls),
        path("run", run), path("figures", figures), path("page", page),
        path("signal", signal),
    ]
"""


def _use(ask: Ask, directory: Path) -> list[Any]:
    notes = directory / "notes"

    def said(words: str) -> bool:
        return notes.exists() and words in notes.read_text()

    told: list[Any] = [ask("/run")]
    for words in ("worked seven work", "added 7", "mule 1 got 5", "tick"):
        wait_until(lambda words=words: said(words), 40, words)  # type: ignore[misc]
        told.append(words)
    ask("/signal")
    wait_until(lambda: said("signal 40"), 40, "the signal")
    return [*told, ask("/figures"), ask("/page")]


def test_ng(both: Both) -> None:
    pytest.importorskip("django_uwsgi")
    theirs, ours = both(NG, NG_VIEWS, _use, "", "--mules", "1")
    assert ours == theirs
    assert ours[0] == [True, False] and "<h4>Workers</h4>" in ours[-1]


# djcall: calls of functions by name, kept in the database, by the spooler; crons

#: With a Django that it still works with: `make interop` installs it apart.
APART = Path(sys.prefix) / "djcall"
CALLS = """
    INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "djcall"]
    SILENCED_SYSTEM_CHECKS = ["fields.W904"]
"""
CALLS_VIEWS = """
    import uwsgi
    from django.http import JsonResponse
    from django.urls import path
    from djcall.models import Call, Caller, Cron

    def double(number):
        if number < 0:
            raise ValueError("below zero")
        return 2 * number

    def call(request, number, attempts):
        caller = Caller(callback="views.double", kwargs={"number": int(number)}, max_attempts=attempts)
        return JsonResponse(caller.spool("spool").pk, safe=False)

    def look(request, pk):
        caller = Caller.objects.get(pk=pk)
        calls = caller.call_set.order_by("pk")
        found = [[each.get_status_display(), each.result, "below zero" in each.exception] for each in calls]
        return JsonResponse({"status": caller.get_status_display(), "calls": found})

    def crons(request):
        callers = Caller.objects.filter(signal_number__isnull=False)
        found = [[each.callback, uwsgi.signal_registered(each.signal_number) is not None] for each in callers]
        return JsonResponse(found, safe=False)

    urlpatterns = [
        path("call/<str:number>/<int:attempts>", call),
        path("look/<int:pk>", look),
        path("crons", crons),
    ]
"""


def _call(ask: Ask, _directory: Path) -> list[Any]:
    def over(call: int, status: str) -> Any:
        found = ask(f"/look/{call}")
        return found if found["status"] == status else None

    told: list[Any] = [ask("/crons")]
    one = ask("/call/21/0")
    told.append(wait_until(lambda: over(one, "Success"), 40, "the call"))
    wrong = ask("/call/-1/1")
    told.append(wait_until(lambda: over(wrong, "Failure"), 40, "the call that fails"))
    return told


def test_djcall(both: Both) -> None:
    if not APART.is_dir() or sys.version_info >= (3, 12):
        pytest.skip(
            "`make interop` installs djcall with a Django of its own, which works with Python 3.11 at most"
        )
    theirs, ours = both(CALLS, CALLS_VIEWS, _call, os.fspath(APART), "--spooler-frequency", "1")
    assert ours == theirs
    assert ours[0] == [["djcall.models.prune", True]]
    assert ours[1]["calls"] == [["Success", 42, False]]
    assert ours[2]["calls"] == [["Failure", None, True]]


# uwsgi-tasks: functions in a mule, in the spooler with retries, at once, and on a timer

BARE = """
    INSTALLED_APPS = []
"""
NOTES = """
    import uwsgi
    from pathlib import Path
    from django.http import JsonResponse
    from django.urls import path

    HERE = Path(__file__).resolve().parent

    def note(*words):
        with open(HERE / "notes", "a") as file:
            file.write(" ".join(map(str, words)) + "\\n")
"""
TASKS_VIEWS = """
    from uwsgi_tasks import RetryTaskException, TaskExecutor, get_current_task, task, timer

    @task(executor=TaskExecutor.MULE)
    def in_mule(word, times=1):
        note("in mule", uwsgi.mule_id(), word * times)

    @task(executor=TaskExecutor.SPOOLER, retry_count=3, retry_timeout=1)
    def in_spooler(word):
        memory = get_current_task().buffer
        memory["attempts"] = memory.get("attempts", 0) + 1
        if memory["attempts"] < 2:
            raise RetryTaskException
        note("in spooler", word, memory["attempts"], bool(uwsgi.i_am_the_spooler()))

    @task(executor=TaskExecutor.RUNTIME)
    def at_once(word):
        note("at once", word)

    @timer(seconds=1, target="mule1")
    def tick(signum):
        note("tick", uwsgi.mule_id())

    def run(request):
        in_mule("x", times=3)
        in_spooler("y")
        at_once("z")
        return JsonResponse(uwsgi.worker_id(), safe=False)

    urlpatterns = [path("run", run)]
"""


def _noted(*words: str) -> Story:
    """Asks for /run, and waits for these notes."""

    def story(ask: Ask, directory: Path) -> list[Any]:
        notes = directory / "notes"
        told: list[Any] = [ask("/run")]
        for each in words:
            wait_until(lambda each=each: notes.exists() and each in notes.read_text(), 40, each)  # type: ignore[misc]
            told.append(each)
        return told

    return story


def test_uwsgi_tasks(both: Both) -> None:
    story = _noted("in mule 1 xxx", "in spooler y 2 True", "at once z", "tick 1")
    theirs, ours = both(BARE, NOTES + TASKS_VIEWS, story, "", "--mules", "1", "--spooler-frequency", "1")
    assert ours == theirs


# uwsgiconf's runtime package

CONF_VIEWS = """
    from uwsgiconf.runtime.locking import lock
    from uwsgiconf.runtime.mules import Mule
    from uwsgiconf.runtime.rpc import make_rpc_call, register_rpc
    from uwsgiconf.runtime.scheduling import register_timer
    from uwsgiconf.runtime.signals import Signal
    from uwsgiconf.runtime.spooler import Spooler

    to_worker = Signal(30)

    @Spooler.task()
    def in_spooler(one, two=None):
        note("in spooler", one, two, bool(uwsgi.i_am_the_spooler()))
        return True

    @to_worker.register_handler(target="worker")
    def in_worker(number):
        note("in worker", number, uwsgi.worker_id())

    @register_timer(1, target=Mule(1))
    def tick():
        note("tick", uwsgi.mule_id())

    @register_rpc("add")
    def add(one, two):
        return str(int(one) + int(two)).encode()

    def run(request):
        in_spooler("a", two=[1, "b"])
        to_worker.send()
        with lock(1):
            held = bool(uwsgi.is_locked(1))
        answer = make_rpc_call("add", args=["2", "3"])
        return JsonResponse([held, bool(uwsgi.is_locked(1)), str(answer)], safe=False)

    urlpatterns = [path("run", run)]
"""


def test_uwsgiconf(both: Both) -> None:
    story = _noted("in spooler a [1, 'b'] True", "in worker 30 1", "tick 1")
    theirs, ours = both(BARE, NOTES + CONF_VIEWS, story, "", "--mules", "1", "--locks", "2")
    assert ours == theirs
    assert ours[0][:2] == [True, False]
