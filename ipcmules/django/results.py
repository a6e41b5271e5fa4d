"""A TaskResult of Django's, made of what files say of a task. Knows the framework; writes nothing."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from ipcmules.django import framework
from ipcmules.django.records import Call, History, read_call
from ipcmules.spooler import names, outcomes, standing
from ipcmules.spooler.standing import Standing

_FAILED = framework.Status.FAILED
_STATUSES = {
    standing.WAITING: framework.Status.READY,
    standing.SCHEDULED: framework.Status.READY,
    standing.FAILED: framework.Status.READY,  # it runs again
    standing.RUNNING: framework.Status.RUNNING,
    standing.DEAD: _FAILED,
    outcomes.SUCCEEDED: framework.SUCCESSFUL,
    outcomes.CANCELLED: _FAILED,
    outcomes.EXPIRED: _FAILED,
}
#: What an error is called whose exception nobody saw: the process was killed, or the files tell less.
_CLASSES = {
    outcomes.CANCELLED: "ipcmules.errors.TaskCancelled",
    outcomes.EXPIRED: "ipcmules.errors.TaskExpired",
}
_UNSEEN = "ipcmules.errors.TaskFailed"
#: A task may be moved while it is looked for.
_LOOKS = 3


def find(directory: str, result_id: str) -> Any:
    """The result of a task in a spool directory, None where nothing is known of it there.

    Raises AccessError where others can write to what tells it.
    """
    bare = names.TASK + result_id
    for _look in range(_LOOKS):
        # What is over is not looked for among all that waits.
        name = bare if outcomes.is_over(directory, bare) else standing.locate(directory, bare)
        found = standing.of(directory, name)
        # After how it stands: who ends a task writes its history first.
        history = History.read(directory, bare)
        if found.status != standing.UNKNOWN:
            break
    else:
        if history is None or not history.finished:
            return None
        found = Standing(outcomes.SUCCEEDED)  # its end went first, as both were kept long enough
    call = history.call if history is not None else read_call(directory, found.name) if found.name else None
    return None if call is None else made(call, result_id, found, history)


def made(call: Call, result_id: str, found: Standing, history: History | None) -> Any:
    """The result of a task that stands so."""
    attempts = history.attempts if history is not None else []
    result = new(task_of(call), result_id, call.args, call.kwargs, call.backend)
    began = [each.began for each in attempts]
    values = {
        "status": _STATUSES[found.status],
        "enqueued_at": when((names.fifo_key(result_id) or 0) / 1e6),
        "started_at": when(began[0] if began else 0.0),
        "last_attempted_at": when(began[-1] if began else found.record.time),
        "finished_at": when(_finished(found, history)),
        "errors": _errors(found, history),
        "worker_ids": [each.worker for each in attempts],
    }
    for key, value in values.items():
        object.__setattr__(result, key, value)
    if found.status == outcomes.SUCCEEDED and history is not None:
        object.__setattr__(result, "_return_value", history.returned)
    return result


def new(task: Any, result_id: str, args: Any, kwargs: Any, backend: str) -> Any:
    """The result of a task that nothing has become of."""
    return framework.TaskResult(
        task=task,
        id=result_id,
        status=framework.Status.READY,
        enqueued_at=None,
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        args=list(args),
        kwargs=dict(kwargs),
        backend=backend,
        errors=[],
        worker_ids=[],
    )


def task_of(call: Call) -> Any:
    """The Task that a call is of. Raises ImportError where the project does not have it (any more)."""
    found = imported(call.path)
    run_after = None if call.run_after is None else when(call.run_after)
    return found.using(
        priority=call.priority, queue_name=call.queue, backend=call.backend, run_after=run_after
    )


def imported(path: str) -> Any:
    """The Task of that path. Raises ImportError.

    Nothing else is ever called: a task from elsewhere (--socket) could name any function there is.
    """
    found = import_string(path)
    if not isinstance(found, framework.Task):
        raise ImportError(f"{path} is no task: what @task makes of a function must have the function's name")
    return found


def when(seconds: float) -> datetime | None:
    """A time as Django has it, None for 0.0: with a zone where the project uses zones."""
    if not seconds:
        return None
    found = datetime.fromtimestamp(seconds, timezone.utc)
    return found if settings.USE_TZ else found.astimezone().replace(tzinfo=None)


def _finished(found: Standing, history: History | None) -> float:
    if found.end is not None:
        return found.end.time
    if found.status == standing.DEAD:
        return found.record.time
    return history.finished if history is not None and found.status == outcomes.SUCCEEDED else 0.0


def _errors(found: Standing, history: History | None) -> list[Any]:
    """What attempts raised; and why it came to an end that no attempt tells."""
    attempts = history.attempts if history is not None else []
    errors = [
        framework.TaskError(exception_class_path=each.error[0], traceback=each.error[1])
        for each in attempts
        if each.error is not None
    ]
    told = bool(attempts) and attempts[-1].error is not None
    reason = found.end.reason if found.end is not None else found.record.traceback or found.record.reason
    is_over = found.status in (outcomes.CANCELLED, outcomes.EXPIRED)
    if (is_over or found.status in (standing.DEAD, standing.FAILED)) and reason and not told:
        path = _CLASSES.get(found.status, _UNSEEN)
        errors.append(framework.TaskError(exception_class_path=path, traceback=reason))
    return errors
