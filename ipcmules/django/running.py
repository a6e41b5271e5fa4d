"""Running a Django task in a spooler: the function of its file, the history of its attempts, the signals.

Knows the framework and what a spooler calls; not how tasks are enqueued.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from ipcmules.bus import log
from ipcmules.django import framework, manners, results
from ipcmules.django.records import CALL, TASK, TASK_KEY, Attempt, Call, History
from ipcmules.errors import Drop, Retry
from ipcmules.kernel.printable import for_people
from ipcmules.process import failures
from ipcmules.spooler import calls, current, names, standing
from ipcmules.spooler.calls import SpoolFunction
from ipcmules.spooler.current import CurrentTask
from ipcmules.spooler.outcomes import CANCELLED, End
from ipcmules.spooler.standing import Standing

#: Of this process: its pid, and what attempts are said to be by.
_worker = (0, "")


def whole_name(path: str, backend: str) -> str:
    """What tasks of a function carry: a backend may have other retries than the next."""
    return path if backend == framework.tasks.DEFAULT_TASK_BACKEND_ALIAS else f"{path}@{backend}"


def find(env: Mapping[Any, Any]) -> SpoolFunction | None:
    """The function of a task that the backend wrote, imported; None for others, and where it cannot be."""
    data = env.get(TASK_KEY)
    if data is None:
        return None
    try:
        # What it is called with does not matter here, and may be long.
        call = Call.read(data, b'{"args": [], "kwargs": {}}')
        task = results.task_of(call)
        function = _function(task, call)
    except Exception as error:  # whatever importing the project's module raises
        log.failure("a task of Django's is left alone, its function cannot be imported:", error)
        return None
    calls.register(function)
    return function


def _function(task: Any, call: Call) -> SpoolFunction:
    backend = task.get_backend()
    retries, backoff, max_backoff, manner = manners.said_of(task.func, backend.options)
    runner = _Runner(type(backend), backend.keep, (Drop, *manner.drop_on))
    manner = manners.with_hooks(manner, backend.keep, runner.succeeded, runner.dead)
    return SpoolFunction(
        call.name,
        runner,
        calls.OK,
        False,
        retries,
        backoff,
        max_backoff,
        whole_name(call.path, call.backend),
        manner,
    )


class _Runner:
    """What a spooler calls for the tasks of one function.

    sender: of signals. keep: seconds for which their history is kept. drops: the exceptions that end a task.
    """

    def __init__(self, sender: type, keep: float, drops: tuple[type[BaseException], ...]) -> None:
        self._sender, self._keep, self._drops = sender, keep, drops

    def __call__(self, env: Mapping[Any, Any]) -> None:
        found = current.current_task()
        assert found is not None
        call = Call.read(env[TASK], env.get(CALL) or env["body"])
        history = History.read(found.directory, found.name) or History(call)
        attempt = Attempt(_worker_id(), time.time())
        history.attempts.append(attempt)
        history.finished = 0.0
        self._write(found, history)
        try:
            returned = self._run(call, found, history)
            history.returned = framework.normalized(returned)
        except Retry:
            attempt.ended = time.time()
            self._write(found, history)
            raise
        except BaseException as error:
            attempt.ended = time.time()
            # What a process raises that was told to end is no failure: it runs again.
            is_dropped = isinstance(error, self._drops)
            if is_dropped or not found.stopping():
                attempt.error = (_path_of(error), failures.describe(error).rstrip("\n") + "\n")
            self._write(found, history)
            if is_dropped:  # no hook tells of it
                end = End(CANCELLED, attempt.ended)
                self._send(_result(found, call, history, Standing(CANCELLED, end=end)))
            raise
        attempt.ended = history.finished = time.time()
        self._write(found, history)

    def _run(self, call: Call, found: CurrentTask, history: History) -> Any:
        task = results.task_of(call)
        result = _result(found, call, history, Standing(standing.RUNNING))
        framework.signals.task_started.send(sender=self._sender, task_result=result)
        context = (framework.TaskContext(task_result=result),) if task.takes_context else ()
        return task.call(*context, *call.args, **call.kwargs)

    def succeeded(self, found: CurrentTask, _returned: object) -> None:
        """The hook of a task that is done."""
        self._tell(found)

    def dead(self, found: CurrentTask, error: BaseException) -> None:
        """The hook of a task that failed for the last time."""
        try:
            raise error  # Django's own receiver logs what is being handled
        except BaseException:
            self._tell(found)

    def _tell(self, found: CurrentTask) -> None:
        result = results.find(found.directory, names.id_of(names.bare(found.name)))
        if result is not None:
            self._send(result)

    def _send(self, result: Any) -> None:
        framework.signals.task_finished.send(sender=self._sender, task_result=result)

    def _write(self, found: CurrentTask, history: History) -> None:
        try:
            history.write(found.directory, found.name, self._keep)
        except OSError as error:  # the work is what counts
            log.event("error", f"task {for_people(found.id)}: what is known of it is not kept: {error}")


def _result(found: CurrentTask, call: Call, history: History, stands: Standing) -> Any:
    return results.made(call, names.id_of(names.bare(found.name)), stands, history)


def _path_of(error: BaseException) -> str:
    kind = type(error)
    return f"{kind.__module__}.{kind.__qualname__}"


def _worker_id() -> str:
    global _worker
    if _worker[0] != os.getpid():
        _worker = os.getpid(), names.process_name("")
    return _worker[1]


calls.finders.append(find)
