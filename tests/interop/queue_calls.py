"""A mule's program that makes calls of uWSGI's queue, and prints what each gives. Run under both."""

import os
import signal

import uwsgi  # noqa: F401 # for the calls


def show(text):
    try:
        result = repr(eval(text))
    except Exception as error:
        result = type(error).__name__
    print("CALL", text, "->", result, flush=True)


CALLS = """
uwsgi.queue_size, uwsgi.queue_slot(), uwsgi.queue_pull_slot()
uwsgi.queue_pull(), uwsgi.queue_pop(), uwsgi.queue_last(), uwsgi.queue_slot(), uwsgi.queue_get(0)
uwsgi.queue_push("left"), uwsgi.queue_slot(), uwsgi.queue_pop(), uwsgi.queue_slot()
uwsgi.queue_push("a"), uwsgi.queue_push(b"b"), uwsgi.queue_last(), uwsgi.queue_last(2), uwsgi.queue_last(9)
uwsgi.queue_get(0), uwsgi.queue_get(3), uwsgi.queue_get(4), uwsgi.queue_get(-1)
uwsgi.queue_set(2, "c"), uwsgi.queue_set(4, "d"), uwsgi.queue_set(1, ""), uwsgi.queue_get(2), uwsgi.queue_push("")
uwsgi.queue_push("x" * 4080), uwsgi.queue_push("x" * 4081), len(uwsgi.queue_last())
[uwsgi.queue_pull() for _ in range(5)].count(None), uwsgi.queue_slot(), uwsgi.queue_pull_slot()
[uwsgi.queue_push(str(number)) for number in range(6)], uwsgi.queue_slot(), uwsgi.queue_pull_slot()
[uwsgi.queue_pull() for _ in range(5)]
uwsgi.queue_push(b"\\0\\0"), uwsgi.queue_pop()
uwsgi.queue_push()
uwsgi.queue_push(5)
uwsgi.queue_push("a", "b")
uwsgi.queue_set("0", "a")
uwsgi.queue_set(0)
uwsgi.queue_get()
uwsgi.queue_get("0")
uwsgi.queue_last("1")
uwsgi.queue_pull(1), uwsgi.queue_slot(1)
uwsgi.queue_push("stays")
[hasattr(uwsgi, "queue_" + each) for each in ("push", "pull_slot", "size", "nothing")]
"""

for line in CALLS.strip().splitlines():
    show(line)
print("CALLED", flush=True)
signal.pause()
os._exit(0)
