"""A mule's program that makes calls of the caches of another server, and prints what each gives. Run under both."""

import os
import signal
import time  # noqa: F401 # for the calls
from pathlib import Path

import uwsgi  # noqa: F401 # for the calls

NODE = Path("node").read_text()
ONE, FULL, FIRST, NONE = f"one@{NODE}", f"full@{NODE}", f"@{NODE}", f"nobody@{NODE}"


def show(text):
    try:
        result = repr(eval(text))
    except Exception as error:
        kinds = [each.__name__ for each in (TypeError, ValueError, OSError) if isinstance(error, each)]
        result = kinds[0] if kinds else type(error).__name__
    print("CALL", text, "->", result, flush=True)


CALLS = """
len([uwsgi.cache_del(key, FULL) for key in ("big", "f0", "f1", "f2", "f3", "f4")]), uwsgi.cache_clear(ONE)
uwsgi.cache_get("k", ONE), uwsgi.cache_exists("k", ONE), uwsgi.cache_del("k", ONE), uwsgi.cache_num("k", ONE)
uwsgi.cache_set("k", "v", 0, ONE), uwsgi.cache_set("k", "w", 0, ONE), uwsgi.cache_get("k", ONE), uwsgi.cache_get(b"k", FIRST)
uwsgi.cache_exists("k", ONE), uwsgi.cache_exists(b"k", FIRST), uwsgi.cache_exists("k", FULL)
uwsgi.cache_update("k", b"w", 0, ONE), uwsgi.cache_get("k", ONE), uwsgi.cache_update("new", "x", 0, FIRST), uwsgi.cache_get("new", ONE)
uwsgi.cache_get("k", NONE), uwsgi.cache_set("k", "v", 0, NONE), uwsgi.cache_update("k", "v", 0, NONE)
uwsgi.cache_del("k", NONE), uwsgi.cache_clear(NONE), uwsgi.cache_exists("k", NONE), uwsgi.cache_num("k", NONE)
uwsgi.cache_set("e", "", 0, ONE), uwsgi.cache_update("e", "", 0, ONE), uwsgi.cache_get("e", ONE)
uwsgi.cache_get("", ONE), uwsgi.cache_exists("", ONE), uwsgi.cache_del("", ONE), uwsgi.cache_set("", "v", 0, ONE)
uwsgi.cache_set("l", "x" * 100, 0, ONE), uwsgi.cache_set("m", "x" * 101, 0, ONE), len(uwsgi.cache_get("l", ONE)), uwsgi.cache_get("m", ONE)
uwsgi.cache_set("x" * 60, "v", 0, ONE), uwsgi.cache_set("x" * 61, "v", 0, ONE), uwsgi.cache_get("x" * 60, ONE), uwsgi.cache_get("x" * 61, ONE)
uwsgi.cache_set("\\xe9", "\\xe9", 0, ONE), uwsgi.cache_get(b"\\xc3\\xa9", ONE)
uwsgi.cache_set(b"\\0a", b"\\0b\\0", 0, ONE), uwsgi.cache_get(b"\\0a", ONE), uwsgi.cache_get(b"\\0", ONE)
uwsgi.cache_set("number", (77).to_bytes(8, "little"), 0, ONE), uwsgi.cache_num("number", ONE), uwsgi.cache_num("k", ONE)
uwsgi.cache_set("big", b"y" * 60000, 0, FULL), uwsgi.cache_get("big", FULL) == b"y" * 60000, uwsgi.cache_update("big", b"z" * 65000, 0, FULL)
len(uwsgi.cache_get("big", FULL)), uwsgi.cache_set("long", b"y" * 70000, 0, FULL), uwsgi.cache_get("long", FULL)
[uwsgi.cache_set(f"f{number}", "v", 0, FULL) for number in range(5)], uwsgi.cache_update("f0", "w", 0, FULL), uwsgi.cache_get("f0", FULL)
uwsgi.cache_del("k", ONE), uwsgi.cache_del("k", ONE), uwsgi.cache_get("k", ONE)
uwsgi.cache_set("t", "v", 1, ONE), uwsgi.cache_update("u", "v", 1, ONE), uwsgi.cache_set("s", "v", 1000, ONE)
uwsgi.cache_get("t", ONE), uwsgi.cache_get("u", ONE), uwsgi.cache_get("s", ONE)
time.sleep(2.1)
uwsgi.cache_get("t", ONE), uwsgi.cache_get("u", ONE), uwsgi.cache_get("s", ONE), uwsgi.cache_exists("t", ONE)
uwsgi.cache_clear(ONE), uwsgi.cache_get("s", ONE), uwsgi.cache_exists("l", FIRST)
uwsgi.cache_get("k", "one@127.0.0.1:1"), uwsgi.cache_set("k", "v", 0, "one@127.0.0.1:1"), uwsgi.cache_del("k", "one@127.0.0.1:1")
uwsgi.cache_exists("k", "one@127.0.0.1:1"), uwsgi.cache_clear("one@127.0.0.1:1"), uwsgi.cache_update("k", "v", 0, "one@127.0.0.1:1")
uwsgi.cache_get("k", "one@/nothing.sock"), uwsgi.cache_num("k", "one@127.0.0.1:1")
uwsgi.cache_keys(ONE)
"""

for line in CALLS.strip().splitlines():
    show(line)
print("CALLED", flush=True)
signal.pause()
os._exit(0)
