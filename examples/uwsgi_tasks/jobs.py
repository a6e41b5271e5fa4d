"""Tasks of the package uwsgi-tasks from PyPI, as it is: in a mule, in a spooler, with retries, on a timer.

ipcmules run --compat --mules 1 --spooler spool --import jobs -- python use.py
"""

import os

import uwsgi
from uwsgi_tasks import RetryTaskException, TaskExecutor, get_current_task, task, timer


def say(*words):
    with open(os.environ.get("SAID", "said.txt"), "a") as file:
        file.write(" ".join(map(str, words)) + "\n")


@task(executor=TaskExecutor.MULE)
def thumbnail(name, size):
    say("thumbnail of", name, "in size", size, "by mule", uwsgi.mule_id())


@task(executor=TaskExecutor.SPOOLER, retry_count=3, retry_timeout=1)
def deliver(to):
    """The third attempt succeeds; the buffer goes with the task from attempt to attempt."""
    memory = get_current_task().buffer
    memory["attempts"] = memory.get("attempts", 0) + 1
    if memory["attempts"] < 3:
        raise RetryTaskException
    say("delivered to", to, "at attempt", memory["attempts"])


@task(executor=TaskExecutor.RUNTIME)
def price(number):
    say("price of", number, "computed at once")


@timer(seconds=1, target="mule1")
def tick(signum):
    say("tick")
