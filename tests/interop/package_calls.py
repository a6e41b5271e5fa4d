"""A mule's program that uses caches through packages from PyPI, and prints what each call gives. Run under both."""

import os
import signal
from datetime import datetime, timedelta  # noqa: F401 # for the calls

import django
from django.conf import settings

settings.configure(
    CACHES={
        "default": {"BACKEND": "uwsgicache.UWSGICache", "LOCATION": "default"},
        "two": {"BACKEND": "uwsgicache.UWSGICache", "LOCATION": "two", "KEY_PREFIX": "p", "TIMEOUT": 100},
    }
)
django.setup()

from cachecontrol_uwsgi import UWSGICache as ControlCache  # noqa: E402
from cachelib import UWSGICache as LibCache  # noqa: E402
from django.core.cache import caches  # noqa: E402

LIB, SECOND = LibCache(default_timeout=60), LibCache(default_timeout=60, cache="two")
SITE, TWO = caches["default"], caches["two"]
HTTP, NAMED, QUIET = (
    ControlCache("default"),
    ControlCache("two"),
    ControlCache("nobody", raise_on_errors=False),
)


def show(text):
    try:
        result = repr(eval(text))
    except Exception as error:
        result = type(error).__name__
    print("CALL", text, "->", result, flush=True)


CALLS = """
LIB.clear(), LIB.get("one"), LIB.set("one", [1, "eins"]), LIB.get("one"), LIB.has("one")
LIB.add("one", 2), LIB.add("two", 2), LIB.get("one"), LIB.get_many("one", "two", "three")
LIB.set("one", "new"), LIB.get("one"), LIB.inc("two"), LIB.inc("two", 5), LIB.get("two"), LIB.dec("two", 3)
LIB.delete("one"), LIB.delete("one"), LIB.get("one"), LIB.set_many({"a": 1, "b": None}), LIB.get_dict("a", "b")
SECOND.set("k", {"x": 1}), SECOND.get("k"), LIB.get("k"), SECOND.has("k"), LIB.get("two"), SECOND.clear(), SECOND.get("k")
SITE.clear(), SITE.get("k"), SITE.get("k", 5), SITE.set("k", {"a": [1, 2]}), SITE.get("k"), SITE.has_key("k"), "k" in SITE
SITE.add("k", 1), SITE.add("n", 1), SITE.get("k"), SITE.get_many(["k", "n", "x"]), SITE.set_many({"a": 1, "b": "zwei"})
SITE.incr("n"), SITE.incr("n", 9), SITE.decr("n"), SITE.get("n"), SITE.touch("n", 50), SITE.get_or_set("new", lambda: 7), SITE.get("new")
SITE.incr("nothing")
SITE.delete("k"), SITE.delete("k"), SITE.get("k"), SITE.delete_many(["a", "b"]), SITE.get("a"), SITE.get("n")
SITE.set("never", 1, None), SITE.get("never"), SITE.set("at once", 1, 0), SITE.set("late", 1, 1000), SITE.get("late")
SITE.set("v", 1, version=2), SITE.get("v"), SITE.get("v", version=2), SITE.incr_version("v", version=2), SITE.get("v", version=3)
TWO.set("k", b"bytes"), TWO.get("k"), SITE.get("k"), TWO.set("long", "x" * 70000), TWO.get("long"), TWO.clear(), TWO.get("k")
SITE.get("k" * 300), SITE.set("\\xe9", "\\xe9"), SITE.get("\\xe9")
HTTP.get("http://x/"), HTTP.set("http://x/", b"answer"), HTTP.get("http://x/"), HTTP.set("http://x/", b"other"), HTTP.get("http://x/")
HTTP.set("soon", b"v", datetime.utcnow() + timedelta(seconds=100)), HTTP.get("soon"), HTTP.delete("soon"), HTTP.get("soon")
HTTP.set("past", b"v", datetime.utcnow() - timedelta(seconds=100))
HTTP.delete("nothing")
HTTP.set("empty", b"")
NAMED.set("k", b"v"), NAMED.get("k"), HTTP.get("k"), NAMED.clear(), NAMED.get("k"), NAMED.close()
NAMED.set("long", b"x" * 70000)
QUIET.get("k"), QUIET.set("k", b"v"), QUIET.delete("k"), QUIET.clear()
ControlCache("nobody").set("k", b"v")
ControlCache("nobody").clear()
ControlCache().get("k")
[each.set("shared", "s") for each in (LIB, SITE)], LIB.get("shared"), SITE.get("shared"), HTTP.get("shared") == SITE.get("shared")
"""

for line in CALLS.strip().splitlines():
    show(line)
print("CALLED", flush=True)
signal.pause()
os._exit(0)
