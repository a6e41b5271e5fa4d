"""Django's interface and cachelib's over a cache."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipcmules import Bus, NotAttached
from ipcmules.caches import store

pytest.importorskip("django")
pytest.importorskip("cachelib")


@pytest.fixture
def django(tmp_path: Path) -> Iterator[Any]:
    """Django's handler of caches: 'default' at a path, 'named' of a bus, 'full', which refuses."""
    from django.conf import settings
    from django.core.cache import CacheHandler

    if not settings.configured:
        settings.configure()
    backend = {"BACKEND": "ipcmules.django.Cache"}
    yield CacheHandler(
        {
            "default": {**backend, "LOCATION": str(tmp_path / "a"), "OPTIONS": {"size": "1M"}},
            "prefixed": {**backend, "LOCATION": str(tmp_path / "a"), "KEY_PREFIX": "p", "TIMEOUT": None},
            "named": {**backend, "LOCATION": "sessions"},
            "full": {**backend, "LOCATION": str(tmp_path / "b"), "OPTIONS": {"items": 2, "full": "refuse"}},
        }
    )
    for path in [each for each in store._open if each.startswith(str(tmp_path))]:
        store._open.pop(path).close()


def test_django(django: Any) -> None:
    cache, prefixed = django["default"], django["prefixed"]
    for value in ("text", b"bytes", 5, 1.5, None, True, [1, {"a": (2,)}], "é" * 1000):
        cache.set("key", value)
        assert cache.get("key", "missing") == value
    assert cache.get("none") is None and cache.get("none", "x") == "x"
    assert cache.add("new", 1) and not cache.add("new", 2) and cache.get("new") == 1
    assert prefixed.get("new") is None and "new" in cache and "new" not in prefixed
    assert cache.set_many({"a": 1, "b": 2}) == [] and cache.get_many(["a", "b", "c"]) == {"a": 1, "b": 2}
    assert cache.delete("a") and not cache.delete("a")
    cache.delete_many(["b", "c"])
    assert cache.get("b") is None
    assert cache.get_or_set("c", lambda: 7) == 7 == cache.get_or_set("c", 8)
    cache.set("n", 41)
    assert cache.incr("n") == 42 and cache.decr("n", 2) == 40 and cache.get("n") == 40
    cache.set("f", 1.5)
    assert cache.incr("f") == 2.5
    for wrong in (
        lambda: cache.incr("nothing"),
        lambda: cache.decr("nothing"),
        lambda: cache.incr_version("no"),
    ):
        with pytest.raises(ValueError):
            wrong()
    cache.set("v", "one", version=1)
    assert cache.get("v", version=2) is None and cache.incr_version("v") == 2
    assert cache.get("v") is None and cache.get("v", version=2) == "one"
    cache.clear()
    assert cache.get("n") is None


def test_djangos_timeouts(django: Any) -> None:
    cache = django["default"]
    cache.set("soon", 1, 0.05)
    cache.set("never", 1, None)
    for over in (0, -1):
        cache.set("over", 1, 100)
        cache.set("over", 1, over)
        assert cache.get("over") is None
    assert cache.get("soon") == 1 and cache.add("never", 2, 0) is False
    time.sleep(0.06)
    assert cache.get("soon") is None and cache.get("never") == 1 and not cache.has_key("soon")
    cache.set("touched", 1, 0.05)
    assert cache.touch("touched", 100) and not cache.touch("nothing")
    time.sleep(0.06)
    assert cache.get("touched") == 1 and cache.touch("touched", 0) and cache.get("touched") is None


def test_django_on_a_bus_and_full(django: Any, bus_env: object) -> None:
    with pytest.raises(NotAttached):
        django["named"].get("a")
    with Bus(mules=0, caches=["name=sessions,size=1M"]):
        django["named"].set("a", {"b": 1})
        assert django["named"].get("a") == {"b": 1}
    full = django["full"]
    assert full.set_many({"a": 1, "b": 2, "c": 3}) == ["c"] and not full.add("d", 4)
    full.set("d", 4)
    assert full.get("d") is None and full.get("a") == 1


def test_cachelib(tmp_path: Path) -> None:
    from ipcmules.cachelib import Cache

    cache = Cache(tmp_path / "a", default_timeout=100, size="1M", items=3, full="refuse")
    assert cache.set("a", [1]) and cache.get("a") == [1] and cache.has("a")
    assert not cache.add("a", 2) and cache.add("b", 2) and cache.get_many("a", "b", "c") == [[1], 2, None]
    assert cache.inc("b", 3) == 5 and cache.dec("b") == 4 and cache.inc("a") is None
    assert cache.set_many({"a": 1, "c": 2}) == ["a", "c"] and cache.get_dict("a", "c") == {"a": 1, "c": 2}
    assert cache.set("more", 1) is False and cache.add("more", 1) is False and cache.get("more") is None
    assert cache.delete("a") and cache.delete_many("b", "c") == ["b", "c"] and cache.clear()
    cache.set("soon", 1, timeout=1)
    assert 0 < (cache._shared.expires("soon") or 0) <= 1
    cache.set("never", 1, timeout=0)
    assert (cache._shared.expires("never") or 0) > 1e9
    store._open.pop(str(tmp_path / "a")).close()
