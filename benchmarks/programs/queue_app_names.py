"""What queue_app.py finds in its environment, for who starts it."""

from __future__ import annotations

#: Which queue; the socket of its Redis server; the spool directory.
QUEUE, REDIS, PLACE = "BENCH_QUEUE", "BENCH_REDIS", "BENCH_PLACE"
OURS = "ipcmules"
QUEUES = (OURS, "Celery", "RQ", "dramatiq", "huey")
