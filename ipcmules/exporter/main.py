"""The exporter's life: from the sockets it inherits to the master's end."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable

from ipcmules.bus import log
from ipcmules.bus.places import BUS_VARIABLE, places
from ipcmules.exporter import serving
from ipcmules.kernel import exhaustion, processes, stray

#: A client that says or takes nothing for so long loses its connection, seconds.
_PATIENCE = 5.0
#: Clients at a time; who comes then waits in the backlog.
_MOST = 16
#: Where the system gives no descriptor it is tried again after so many seconds.
_PAUSE = 0.1

Serve = Callable[[socket.socket], None]


def main(*given: str) -> None:
    """Serve sockets until SIGTERM, which the master's death sends too.

    given: KIND=DESCRIPTOR each, of the kinds in serving.KINDS.
    """
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    stray.ignore()
    where = places(os.environ[BUS_VARIABLE])
    log.configure()
    log.identify(where.bus, "exporter")
    processes.set_title(f"ipcmules: {where.bus} exporter")
    makers = serving.KINDS
    served: dict[socket.socket, Serve] = {}
    made: dict[str, Serve] = {}
    for each in given:
        kind, _equals, descriptor = each.partition("=")
        if kind not in made:
            made[kind] = makers[kind](where)
        served[socket.socket(fileno=int(descriptor))] = made[kind]
    _serve(served)


def _serve(served: dict[socket.socket, Serve]) -> None:
    room = threading.Semaphore(_MOST)
    for listener in served:
        listener.setblocking(False)
    while True:
        ready, _, _ = select.select(list(served), [], [])
        for listener in ready:
            try:
                connection, _address = listener.accept()
            except OSError as error:
                if exhaustion.refused(error) and not isinstance(error, BlockingIOError):
                    time.sleep(_PAUSE)  # it stays ready, and cannot be accepted before there is a descriptor
                continue  # or it has gone already
            room.acquire()
            threading.Thread(target=_answer, args=(served[listener], connection, room), daemon=True).start()


def _answer(serve: Serve, connection: socket.socket, room: threading.Semaphore) -> None:
    try:
        with connection:
            connection.settimeout(_PATIENCE)
            serve(connection)
    except OSError:
        pass  # it has gone, or was too slow
    except Exception:
        log.exception("a question for numbers:")
    finally:
        room.release()
