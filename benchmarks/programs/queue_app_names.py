"""What queue_app.py finds in its environment, for who starts it."""

from __future__ import annotations

#: Which queue; the socket of its Redis server; how its PostgreSQL is connected to; the spool directory.
QUEUE, REDIS, POSTGRES, PLACE = "BENCH_QUEUE", "BENCH_REDIS", "BENCH_POSTGRES", "BENCH_PLACE"
OURS, ON_POSTGRES = "ipcmules", "procrastinate"
QUEUES = (OURS, "Celery", "RQ", "dramatiq", "huey", ON_POSTGRES)
