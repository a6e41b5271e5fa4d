"""One function that returns its argument, as a task with a result of the queue that the environment names.

Loaded by the worker and by who enqueues (queue_driver.py).
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from typing import Any

from benchmarks.programs.channel import DIRECTORY_VARIABLE
from benchmarks.programs.queue_app_names import PLACE, POSTGRES, QUEUE, REDIS
from benchmarks.programs.tally import Tally

_KEEP = 600

_tally = Tally(os.environ[DIRECTORY_VARIABLE])
_socket = os.environ.get(REDIS, "")


def work(value: int) -> int:
    _tally.add()
    return value


# In the bench extra alone: type checkers need not have these.
def _load(name: str) -> Any:
    return importlib.import_module(name)


def _ipcmules() -> tuple[Any, Any]:
    from ipcmules.decorators import spool

    function: Any = spool(pass_arguments=True, results=_KEEP, name="bench.work")(work)
    return (
        lambda value: function(value, spooler=os.environ[PLACE]),
        lambda task, timeout: task.result(timeout),
    )


def _celery() -> tuple[Any, Any]:
    global app
    app = _load("celery").Celery(
        "bench", broker=f"redis+socket://{_socket}", backend=f"redis+socket://{_socket}"
    )
    app.conf.result_expires = _KEEP
    function = app.task(name="bench.work")(work)
    return function.delay, lambda task, timeout: task.get(timeout=timeout)


def _rq() -> tuple[Any, Any]:
    rq, redis = _load("rq"), _load("redis")
    queue = rq.Queue("bench", connection=redis.Redis(unix_socket_path=_socket))
    return (
        lambda value: queue.enqueue(work, value, result_ttl=_KEEP),
        lambda job, timeout: job.latest_result(timeout=int(timeout)).return_value,
    )


def _dramatiq() -> tuple[Any, Any]:
    dramatiq = _load("dramatiq")
    broker = _load("dramatiq.brokers.redis").RedisBroker(url=f"unix://{_socket}")
    backend = _load("dramatiq.results.backends").RedisBackend(url=f"unix://{_socket}")
    broker.add_middleware(_load("dramatiq.results").Results(backend=backend))
    dramatiq.set_broker(broker)
    actor = dramatiq.actor(actor_name="bench.work", store_results=True, result_ttl=1000 * _KEEP)(work)
    return actor.send, lambda message, timeout: message.get_result(block=True, timeout=int(1000 * timeout))


def _huey() -> tuple[Any, Any]:
    global app
    app = _load("huey").RedisHuey("bench", url=f"unix://{_socket}")
    function = app.task()(work)
    return function, lambda found, timeout: found.get(blocking=True, timeout=timeout)


def _procrastinate() -> tuple[Any, Any]:
    """It keeps no results: that a task has succeeded is all that can be waited for."""
    global app
    module = _load("procrastinate")
    connector = module.PsycopgConnector(conninfo=os.environ[POSTGRES])
    # The driver's program defers without an event loop; the worker opens the other one.
    drives = "queue_driver" in sys.argv[0]
    app = module.App(connector=connector.get_sync_connector() if drives else connector)
    function = app.task(name="bench.work")(work)
    if drives:
        app.open()

    def result(found: tuple[int, int], timeout: float) -> int:
        job, value = found
        until = time.monotonic() + timeout
        while app.job_manager.get_job_status(job).value != "succeeded":
            if time.monotonic() > until:
                raise TimeoutError
            time.sleep(0.001)
        return value

    return lambda value: (function.defer(value=value), value), result


#: What the worker of Celery, huey and procrastinate is started with.
app: Any = None
MAKERS = {
    "ipcmules": _ipcmules,
    "Celery": _celery,
    "RQ": _rq,
    "dramatiq": _dramatiq,
    "huey": _huey,
    "procrastinate": _procrastinate,
}
#: enqueue(value) to a handle; result(handle, seconds) to the value.
enqueue, result = MAKERS[os.environ[QUEUE]]()
