"""What the processes of a bus share: caches, counters, a queue of slots, areas of bytes."""

from __future__ import annotations

from dataclasses import dataclass

from ipcmules.options.areas import AreaSpec
from ipcmules.options.caches import CacheItem, CacheSpec
from ipcmules.options.kinds import FLAG, Kind, Number, Text
from ipcmules.options.metrics import MetricSpec
from ipcmules.options.option import SAME, Option, entry


@dataclass(frozen=True, init=False, repr=False, eq=False)
class State:
    """Shared state."""

    caches: tuple[CacheSpec, ...] = entry(
        (),
        Option(
            "cache",
            Kind(
                "cache",
                metavar="name=NAME,KEY=VALUE,...",
                many=True,
                argument="Sequence[str]",
                example="name=sessions,items=10000,size=64M",
            ),
            "Have a cache: items, size, full=evict|refuse, store=FILE, expires=SECONDS.",
            SAME,
            more="[Caches](state.md#caches)",
        ),
        Option(
            "cache2",
            Kind("cache2", metavar="name=NAME,items=N,...", many=True),
            "The same in uWSGI's form: blocksize, keysize, purge_lru, store and the others.",
            SAME,
            argument="",
        ),
    )
    cache_items: tuple[CacheItem, ...] = entry(
        (),
        Option(
            "add-cache-item",
            Kind("cache item", metavar="[CACHE ]KEY=VALUE", many=True),
            "Have an entry in CACHE, else in all caches, from the start.",
            SAME,
            argument="",
        ),
        Option(
            "load-file-in-cache",
            Kind("cached file", metavar="[CACHE ]FILE", many=True, complete="file"),
            "The same with the content of FILE, under its path as it is written.",
            SAME,
            argument="",
        ),
        Option(
            "load-file-in-cache-gzip",
            Kind("cached gzip", metavar="[CACHE ]FILE", many=True, complete="file"),
            "The same, compressed.",
            SAME,
            argument="",
        ),
    )
    metrics: tuple[MetricSpec, ...] = entry(
        (),
        Option(
            "metric",
            Kind(
                "metric",
                metavar="NAME|name=NAME,...",
                many=True,
                argument="Sequence[str]",
                example="name=hits,initial_value=5",
            ),
            "Have a counter from the start; initial_value says what it begins with.",
            SAME,
            more="[Counters](state.md#counters)",
        ),
    )
    enable_metrics: bool = entry(
        False,
        Option(
            "enable-metrics",
            FLAG,
            "Have uwsgi.metric_get() and the like, without a --metric.",
            SAME,
            argument="",
        ),
    )
    queue: int = entry(
        0,
        Option(
            "queue",
            Number(highest=1 << 24, says=", 0 or more"),
            "Have uWSGI's queue: N slots, for uwsgi.queue_push() and the like.",
            SAME,
            argument="",
        ),
    )
    queue_blocksize: int = entry(
        8192,
        Option(
            "queue-blocksize",
            Number(lowest=32, highest=1 << 30, says=" from 32"),
            "Bytes of a slot, 16 of them for its head.",
            SAME,
            argument="",
        ),
    )
    queue_store: str = entry(
        "",
        Option(
            "queue-store",
            Text("file", "FILE", name="queue file", complete="file"),
            "Keep the queue in FILE, in uWSGI's own format; it outlives the bus.",
            SAME,
            argument="",
        ),
    )
    areas: tuple[AreaSpec, ...] = entry(
        (),
        Option(
            "sharedarea",
            Kind("area", metavar="PAGES|KEY=VALUE,...", many=True),
            "Have an area of bytes, for uwsgi.sharedarea_read() and the like: pages, or size, file, offset.",
            SAME,
            argument="",
        ),
        Option(
            "py-sharedarea",
            Kind("python area", metavar="BYTES", many=True),
            "The same in bytes; uwsgi.sharedarea_object() returns it.",
            SAME,
            argument="",
        ),
    )
