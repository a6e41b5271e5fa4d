"""The backend for Django's tasks: the bus's spoolers run them.

    TASKS = {"default": {"BACKEND": "ipcmules.django.TaskBackend", "QUEUES": ["default", "mail"],
                         "OPTIONS": {"retries": 3}}}

A queue is the spooler of that name, else the bus's first. Knows the framework, the flat functions that
enqueue, and what a spooler needs to find the function (running.py).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import connections, transaction

from ipcmules.api import tasks as spooling
from ipcmules.decorators.tasks import check_numbers
from ipcmules.django import framework, places, results
from ipcmules.django.records import Call
from ipcmules.django.running import whole_name
from ipcmules.errors import NotAttached
from ipcmules.spooler import calls, names, request

#: Seconds for which it is kept what became of a task: a week.
_KEEP = 7 * 86400.0
#: What OPTIONS may say.
_OPTIONS = ("spooler", "results", "retries", "backoff", "timeout", "on_commit")
#: Django's priorities go from -100 to 100, the higher first; a spooler's from 0 on, the lower first.
_HIGHEST = 100


class TaskBackend(framework.BaseTaskBackend):  # type: ignore[misc] # Django has no types
    """See Django's BaseTaskBackend.

    OPTIONS:
    spooler: the directory where this process is on no bus, or a dict of directories by queue.
    results: seconds for which it is kept what became of a task (a week).
    retries: how often a task that raised runs again (0). backoff: seconds before the first of these runs.
    timeout: seconds after which the process of a task is killed.
    on_commit: False to enqueue within a transaction; the alias of the database whose commit is waited for.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self._check(alias)
        #: Seconds for which results are kept.
        self.keep = float(self.options.get("results", _KEEP))
        self._on_commit = self.options.get("on_commit", params.get("ENQUEUE_ON_COMMIT", True))

    def _check(self, alias: str) -> None:
        options = self.options
        where = f"TASKS[{alias!r}]['OPTIONS']"
        unknown = sorted(set(options) - set(_OPTIONS))
        if unknown:
            raise framework.InvalidTaskBackend(
                f"{where} has {', '.join(map(repr, unknown))}, and knows {', '.join(_OPTIONS)}"
            )
        try:
            check_numbers(options.get("retries"), options.get("backoff"), 0)
        except ValueError as error:
            raise framework.InvalidTaskBackend(f"{where}: {error}") from error
        for what in ("results", "timeout"):
            value = options.get(what, 1)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1e9:
                raise framework.InvalidTaskBackend(f"{where}: {what}={value!r}: give seconds, more than 0")

    def validate_task(self, task: Any) -> None:
        """See Django's. A spooler has to find the function by its path."""
        super().validate_task(task)
        if task.func.__module__ == "__main__":
            raise framework.InvalidTask(
                f"{task.func.__qualname__}() is of the main program, which no spooler imports: put it "
                "into a module"
            )

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Have a task run by a spooler; with the transaction's commit, where one is open.

        Raises InvalidTask; TypeError or ValueError for arguments that JSON does not have; SpoolError,
        SpoolWriteError, UnknownTarget and NotAttached as ipcmules.spool().
        """
        self.validate_task(task)
        self._check_path(task)
        name = names.new_name()
        result = results.new(task, names.id_of(name), args, kwargs, self.alias)
        read = request.read(self._arguments(task, result))
        put = partial(self._put, read, name, task.queue_name, result)
        alias = self._waits_for(task)
        if alias:
            transaction.on_commit(put, using=alias)
        else:
            put()
        return result

    def get_result(self, result_id: str) -> Any:
        """What became of a task. Raises TaskResultDoesNotExist, also once it is kept no longer."""
        if isinstance(result_id, str) and result_id and "/" not in result_id and "\0" not in result_id:
            for each in places.of_backend(self.options.get(places.OPTION)):
                found = results.find(each, result_id)
                if found is not None and found.backend == self.alias:
                    return found
        raise framework.ResultDoesNotExist(result_id)

    def _check_path(self, task: Any) -> None:
        """Not with validate_task(), which is asked while the module is imported."""
        try:
            results.imported(task.module_path)
        except ImportError as error:
            raise framework.InvalidTask(f"no spooler would find this task: {error}") from error

    def _waits_for(self, task: Any) -> str:
        """The database whose commit a task waits for, "" for none."""
        wanted = self._on_commit
        # Older versions of django-tasks let a task say it.
        if getattr(task, "enqueue_on_commit", None) is not None:
            wanted = task.enqueue_on_commit and (wanted or True)
        if not wanted:
            return ""
        alias = wanted if isinstance(wanted, str) else "default"
        return alias if connections[alias].in_atomic_block else ""

    def _arguments(self, task: Any, result: Any) -> dict[str, Any]:
        at = None if task.run_after is None else task.run_after.timestamp()
        call = Call(
            task.module_path,
            result.args,
            result.kwargs,
            self.alias,
            task.queue_name,
            task.priority,
            at,
            self.keep,
        )
        return {
            "ud_spool_func": call.name,
            "ipcmules_name": whole_name(call.path, self.alias),
            "ud_spool_ret": str(calls.OK),
            "priority": _HIGHEST - int(task.priority),
            "at": at,
            **call.arguments(),
        }

    def _put(self, read: request.Request, name: str, queue: str, result: Any) -> None:
        option = self.options.get(places.OPTION)
        try:
            writer, spools = spooling.target(places.spooler_of(queue, option), "a task of Django's")
        except NotAttached as error:
            raise NotAttached(
                f"this process is on no bus, so there is no spooler for queue {queue!r}: start it with "
                "`manage.py ipcmules run --spooler DIR -- COMMAND`, or name the directory in "
                f"TASKS[{self.alias!r}]['OPTIONS']['spooler']"
            ) from error
        written = writer.put(read.head, read.body, read.at, read.priority, name)
        spooling.wake(writer, spools, written)
        object.__setattr__(result, "enqueued_at", results.when((names.fifo_key(name) or 0) / 1e6))
        framework.signals.task_enqueued.send(type(self), task_result=result)
