"""A mule's program that makes calls of uWSGI's cache, and prints what each gives. Run under both."""

import os
import signal
import time  # noqa: F401 # for the calls

import uwsgi


def show(text):
    try:
        result = repr(eval(text))
    except Exception as error:
        kinds = [each.__name__ for each in (TypeError, ValueError, OSError) if isinstance(error, each)]
        result = kinds[0] if kinds else type(error).__name__
    print("CALL", text, "->", result, flush=True)


def fill(count, cache):
    return [uwsgi.cache_set(f"f{number}", "v", 0, cache) for number in range(count)]


CALLS = """
uwsgi.cache_keys(), uwsgi.cache_keys("lru"), uwsgi.cache_keys("")
uwsgi.cache_keys("nobody")
uwsgi.cache_get("k"), uwsgi.cache_exists("k"), uwsgi.cache_del("k"), uwsgi.cache_num("k")
uwsgi.cache_set("k", "v"), uwsgi.cache_set("k", "w"), uwsgi.cache_get("k"), uwsgi.cache_get(b"k")
uwsgi.cache_exists("k"), uwsgi.cache_exists(b"k", "one"), uwsgi.cache_exists("k", "lru")
uwsgi.cache_update("k", b"w"), uwsgi.cache_get("k"), uwsgi.cache_get("k", "one"), uwsgi.cache_get("k", "")
uwsgi.cache_get("k", "nobody"), uwsgi.cache_set("k", "v", 0, "nobody"), uwsgi.cache_update("k", "v", 0, "nobody")
uwsgi.cache_del("k", "nobody"), uwsgi.cache_clear("nobody"), uwsgi.cache_inc("k", 1, 0, "nobody")
uwsgi.cache_num("k", "nobody"), uwsgi.cache_exists("k", "nobody")
uwsgi.cache_set("", "v"), uwsgi.cache_set("e", ""), uwsgi.cache_update("", "v"), uwsgi.cache_update("e", "")
uwsgi.cache_get(""), uwsgi.cache_exists(""), uwsgi.cache_del(""), uwsgi.cache_inc(""), uwsgi.cache_num("")
uwsgi.cache_set("l", "x" * 100), uwsgi.cache_set("m", "x" * 101), uwsgi.cache_update("l", "x" * 101)
len(uwsgi.cache_get("l")), uwsgi.cache_get("m")
uwsgi.cache_set("x" * 60, "v"), uwsgi.cache_set("x" * 61, "v"), uwsgi.cache_get("x" * 61)
uwsgi.cache_set("g" * 1000, "v", 0, "lru"), uwsgi.cache_get("g" * 1000, "lru"), uwsgi.cache_del("g" * 1000, "lru")
uwsgi.cache_set("\\xe9", "\\xe9"), uwsgi.cache_get("\\xe9"), uwsgi.cache_get(b"\\xc3\\xa9")
uwsgi.cache_set(b"\\0a", b"\\0b\\0"), uwsgi.cache_get(b"\\0a"), uwsgi.cache_get(b"\\0")
sorted(uwsgi.cache_keys())
uwsgi.cache_inc("n"), uwsgi.cache_num("n"), uwsgi.cache_get("n"), uwsgi.cache_inc("n", 41), uwsgi.cache_num("n")
uwsgi.cache_dec("n"), uwsgi.cache_num("n"), uwsgi.cache_mul("n"), uwsgi.cache_num("n"), uwsgi.cache_mul("n", -3)
uwsgi.cache_num("n"), uwsgi.cache_div("n"), uwsgi.cache_num("n"), uwsgi.cache_div("n", 7), uwsgi.cache_num("n")
uwsgi.cache_div("n", 0), uwsgi.cache_num("n"), uwsgi.cache_mul("m"), uwsgi.cache_num("m")
uwsgi.cache_div("d"), uwsgi.cache_num("d"), uwsgi.cache_dec("e", 5), uwsgi.cache_num("e")
uwsgi.cache_set("big", (2**63 - 1).to_bytes(8, "little")), uwsgi.cache_inc("big"), uwsgi.cache_num("big")
uwsgi.cache_dec("big"), uwsgi.cache_num("big"), uwsgi.cache_mul("big", 2), uwsgi.cache_num("big")
uwsgi.cache_set("text", "12345678"), uwsgi.cache_num("text"), uwsgi.cache_inc("text"), uwsgi.cache_get("text")
uwsgi.cache_set("longer", "123456789"), uwsgi.cache_num("longer"), uwsgi.cache_inc("longer"), uwsgi.cache_get("longer")
uwsgi.cache_inc("i", 3, 0, "initial"), uwsgi.cache_num("i", "initial"), uwsgi.cache_mul("j", 3, 0, "initial")
uwsgi.cache_num("j", "initial"), uwsgi.cache_inc("i", 1, 0, "initial"), uwsgi.cache_num("i", "initial")
uwsgi.cache_set("t", "v", 1), uwsgi.cache_update("u", "v", 1), uwsgi.cache_set("s", "v", 1000), uwsgi.cache_inc("w", 5, 1)
uwsgi.cache_get("t"), uwsgi.cache_get("u"), uwsgi.cache_get("s"), uwsgi.cache_num("w")
uwsgi.cache_update("u", "again"), uwsgi.cache_inc("w", 1, 1000), uwsgi.cache_num("w")
time.sleep(2.1)
uwsgi.cache_get("t"), uwsgi.cache_exists("t"), uwsgi.cache_del("t"), uwsgi.cache_set("t", "new"), uwsgi.cache_get("t")
uwsgi.cache_get("u"), uwsgi.cache_get("s"), uwsgi.cache_num("w"), uwsgi.cache_exists("w")
uwsgi.cache_del("k"), uwsgi.cache_del("k"), uwsgi.cache_get("k")
uwsgi.cache_clear(), uwsgi.cache_keys(), uwsgi.cache_clear("lru"), uwsgi.cache_clear("")
fill(5, "full"), uwsgi.cache_update("f0", "w", 0, "full"), uwsgi.cache_get("f0", "full"), len(uwsgi.cache_keys("full"))
uwsgi.cache_update("other", "w", 0, "full"), uwsgi.cache_inc("n", 1, 0, "full"), uwsgi.cache_del("f1", "full")
uwsgi.cache_set("other", "w", 0, "full"), sorted(uwsgi.cache_keys("full"))
fill(3, "lru"), uwsgi.cache_get("f0", "lru"), uwsgi.cache_set("f3", "v", 0, "lru"), sorted(uwsgi.cache_keys("lru"))
uwsgi.cache_update("f2", "w", 0, "lru"), uwsgi.cache_set("f4", "v", 0, "lru"), sorted(uwsgi.cache_keys("lru"))
uwsgi.cache_get(5)
uwsgi.cache_get()
uwsgi.cache_get("k", "one", "more")
uwsgi.cache_get("k", b"one")
uwsgi.cache_get("k", 5)
uwsgi.cache_get(None)
uwsgi.cache_get(bytearray(b"k"))
uwsgi.cache_set("k")
uwsgi.cache_set("k", 5)
uwsgi.cache_set("k", None)
uwsgi.cache_set("k", "v", "1")
uwsgi.cache_set("k", "v", 1.5)
uwsgi.cache_set("k", "v", None)
uwsgi.cache_set("k", "v", True)
uwsgi.cache_set("neg", "v", -1), uwsgi.cache_get("neg")
uwsgi.cache_set("k", "v", 0, b"one")
uwsgi.cache_set(key="k", value="v")
uwsgi.cache_update("k")
uwsgi.cache_update(5, "v")
uwsgi.cache_del()
uwsgi.cache_del(5)
uwsgi.cache_exists()
uwsgi.cache_exists(5)
uwsgi.cache_clear(5)
uwsgi.cache_clear(b"one")
uwsgi.cache_keys(5)
uwsgi.cache_num()
uwsgi.cache_num(5)
uwsgi.cache_inc()
uwsgi.cache_inc("k", "1")
uwsgi.cache_inc("k", 1.5)
uwsgi.cache_inc("k", 1, 0, 5)
uwsgi.cache_inc("huge", 2**63)
uwsgi.cache_set("huge", "v", 2**63)
"cache2" in uwsgi.opt, "cache" in uwsgi.opt, [hasattr(uwsgi, "cache_" + each) for each in ("get", "size")]
"""

for line in CALLS.strip().splitlines():
    show(line)
print("CALLED", flush=True)
signal.pause()
os._exit(0)
