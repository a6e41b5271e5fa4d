"""A WSGI application whose workers are on a bus: they send messages, take signals, and share a lock.

    ipcmules run --mule=audit.py -- gunicorn -w 2 app:app

Then, in another terminal:

    curl -d "a new order" localhost:8000/audit      a message to the mule, which prints it
    curl -d "" localhost:8000/count                 a counter of all workers, in a file under lock 0
    curl -d "" localhost:8000/refresh               a signal that each worker handles
    curl localhost:8000/                            what the worker that answers knows
"""

import json
import os
from pathlib import Path

import ipcmules
from ipcmules.decorators import signal

REFRESH = 1
VISITS = Path(os.environ.get("VISITS", "visits.txt"))
refreshed = 0


@signal(REFRESH, target="workers")
def refresh(signum: int) -> None:
    """Runs in every worker: here one would read settings again, or drop a cache."""
    global refreshed
    refreshed += 1


def count() -> int:
    with ipcmules.Lock(0):
        visits = 1 + int(VISITS.read_text() if VISITS.exists() else 0)
        VISITS.write_text(str(visits))
    return visits


def respond(path: str, body: bytes) -> dict:
    if path == "/audit":
        return {"accepted": ipcmules.mule_msg(body, timeout=1)}
    if path == "/count":
        return {"visits": count()}
    if path == "/refresh":
        ipcmules.signal(REFRESH)
    return {"pid": os.getpid(), "worker": ipcmules.worker_id(), "refreshed": refreshed}


def app(environ: dict, start_response) -> list:
    answer = json.dumps(respond(environ["PATH_INFO"], environ["wsgi.input"].read())) + "\n"
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer.encode()]
