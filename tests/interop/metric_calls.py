"""A mule's program that makes calls of uWSGI's metrics, and prints what each gives. Run under both."""

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
uwsgi.metric_get("a"), uwsgi.metric_get("b"), uwsgi.metric_get("nobody"), uwsgi.metric_get("")
uwsgi.metric_inc("a"), uwsgi.metric_inc("a", 5), uwsgi.metric_inc("a", -2), uwsgi.metric_get("a")
uwsgi.metric_dec("a"), uwsgi.metric_dec("a", 10), uwsgi.metric_get("a")
uwsgi.metric_mul("a"), uwsgi.metric_mul("a", -9), uwsgi.metric_get("a")
uwsgi.metric_div("a"), uwsgi.metric_div("a", -2), uwsgi.metric_get("a"), uwsgi.metric_div("a", 0)
uwsgi.metric_set("a"), uwsgi.metric_get("a"), uwsgi.metric_set("a", 50), uwsgi.metric_get("a")
uwsgi.metric_set_max("a", 40), uwsgi.metric_get("a"), uwsgi.metric_set_max("a", 60), uwsgi.metric_get("a")
uwsgi.metric_set_min("a", 70), uwsgi.metric_get("a"), uwsgi.metric_set_min("a", 30), uwsgi.metric_get("a")
uwsgi.metric_set_min("a", 0), uwsgi.metric_set_min("a", -5), uwsgi.metric_get("a")
uwsgi.metric_set_min("b", 5), uwsgi.metric_set("b", 20), uwsgi.metric_set_min("b", 15), uwsgi.metric_get("b")
uwsgi.metric_set("a", 2**63 - 1), uwsgi.metric_inc("a"), uwsgi.metric_get("a")
uwsgi.metric_dec("a"), uwsgi.metric_mul("a", 3), uwsgi.metric_get("a")
uwsgi.metric_inc("nobody"), uwsgi.metric_set("nobody", 1), uwsgi.metric_div("nobody", 0), uwsgi.metric_inc("")
uwsgi.metric_inc("a", 2**63)
uwsgi.metric_inc("a", "1")
uwsgi.metric_inc("a", 1.5)
uwsgi.metric_inc("a", None)
uwsgi.metric_inc("a", True)
uwsgi.metric_inc(b"a")
uwsgi.metric_inc(5)
uwsgi.metric_inc()
uwsgi.metric_inc("a", 1, 1)
uwsgi.metric_get(b"a")
uwsgi.metric_get()
uwsgi.metric_get("a", 1)
uwsgi.metric_set()
[hasattr(uwsgi, "metric_" + each) for each in ("get", "inc", "list")]
"metric" in uwsgi.opt
"""

for line in CALLS.strip().splitlines():
    show(line)
print("CALLED", flush=True)
signal.pause()
os._exit(0)
