"""uwsgi.cache_*: without a cache, with two, and cachelib's backend over them."""

from __future__ import annotations

import struct
import sys

import pytest

from ipcmules import Bus
from ipcmules.compat import caching, quiet, uwsgi
from ipcmules.options.caches import cache2


def test_without_a_cache(bus_env: object, caplog: pytest.LogCaptureFixture) -> None:
    quiet._said.clear()
    with caplog.at_level("INFO", "ipcmules"):
        for name, call in caching.CALLS.items():
            if name == "cache_keys":
                with pytest.raises(ValueError, match="no local uWSGI cache"):
                    call()
            elif name in ("cache_set", "cache_update"):
                assert call("k", "v") is None
            elif name == "cache_num":
                assert call("k") == 0
            else:
                assert (call() if name == "cache_clear" else call("k")) is None
    assert "uwsgi.cache_set() does nothing here: this bus has no such cache" in caplog.text


def test_with_two(bus_env: object, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = Bus(caches=["name=one,items=3,full=refuse,largest=20,keysize=10", "name=two,size=1M"], mules=0)
    with bus:
        assert uwsgi.cache_set("k", b"v") is True and uwsgi.cache_set(b"k", "w") is None
        assert uwsgi.cache_get("k") == b"v" and uwsgi.cache_get("k", "two") is None
        assert uwsgi.cache_get("k", "one") == uwsgi.cache_get("k", "") == b"v"
        assert uwsgi.cache_update("k", "w", 100) is True and uwsgi.cache_get("k") == b"w"
        assert uwsgi.cache_exists("k") is True and uwsgi.cache_exists("x") is None
        assert uwsgi.cache_keys() == [b"k"] and uwsgi.cache_keys("two") == []
        for refused in (("", b"v"), ("x", b""), ("x", b"v" * 21), ("x" * 11, b"v")):
            assert uwsgi.cache_set(*refused) is uwsgi.cache_update(*refused) is None
        assert uwsgi.cache_inc("n") is uwsgi.cache_inc("n", 5) is uwsgi.cache_mul("n", -3) is True
        assert uwsgi.cache_num("n") == -18 and uwsgi.cache_get("n") == struct.pack("<q", -18)
        assert uwsgi.cache_div("n", 4) is True and uwsgi.cache_num("n") == -4
        assert uwsgi.cache_dec("n", 2**63 - 1) is True and uwsgi.cache_num("n") == 2**63 - 3
        assert uwsgi.cache_div("n", 0) is True and uwsgi.cache_num("n") == 0 == uwsgi.cache_num("k")
        assert uwsgi.cache_set("last", "v") is True and uwsgi.cache_set("more", "v") is None
        assert uwsgi.cache_inc("k") is True and uwsgi.cache_num("k") == ord("w") + 1
        assert uwsgi.cache_del("k") is True and uwsgi.cache_del("k") is None
        assert uwsgi.cache_clear() is True and uwsgi.cache_keys() == []
        assert uwsgi.cache_get("k", "three") is uwsgi.cache_set("k", "v", 0, "three") is None
        assert (
            uwsgi.cache_get("k", "one@127.0.0.1:1") is uwsgi.cache_set("k", "v", 0, "one@127.0.0.1:1") is None
        )
        with pytest.raises(NotImplementedError, match="knows no numbers"):
            uwsgi.cache_inc("k", 1, 0, "one@127.0.0.1:1")
        for wrong in ((5,), ("k", 5), ()):
            with pytest.raises(TypeError):
                uwsgi.cache_get(*wrong)
        with pytest.raises(TypeError):
            uwsgi.cache_set("k", "v", 1.5)
        assert cache2("name=one,items=3").items == 3

        monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
        flask = pytest.importorskip("cachelib").UWSGICache(default_timeout=100, cache="two")
        assert flask.set("a", {"b": 1}) and flask.get("a") == {"b": 1}
        assert not flask.add("a", 2) and flask.add("c", 3) and flask.has("c")
        assert flask.get_many("a", "c", "x") == [{"b": 1}, 3, None]
        assert flask.delete("c") and not flask.has("c") and flask.clear() and flask.get("a") is None


def test_another_bus_has_other_ones(bus_env: object) -> None:
    for name in ("first", "second"):
        with Bus(caches=["name=a,size=1M"], mules=0):
            assert uwsgi.cache_get("k") is None
            assert uwsgi.cache_set("k", name) is True and uwsgi.cache_get("k") == name.encode()
