"""Django's database connections in processes that are forked and never serve a request.

Django closes what is unusable or too old at the begin and the end of each request; here that is done around
each task, message and signal. And a connection that was opened while the app was loaded is the template's: a
forked process must neither use its socket, where it would read answers to others' questions, nor say
goodbye on it. Does nothing where Django is not loaded; imports nothing of it.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from ipcmules.bus import log
from ipcmules.functions import coroutines

#: What the template had open. Kept for ever: to collect some of it would write to the inherited socket.
_inherited: list[Any] = []


def refresh() -> None:
    """Close the connections of this thread that Django would not keep from one request to the next."""
    if "django.db" not in sys.modules:
        return
    django = _django()
    if django is None or coroutines.in_event_loop():
        return
    try:
        django.reset_queries()
        django.close_old_connections()
    except Exception:  # whatever a driver raises where its server is gone
        log.exception("Django's connections could not be closed:")


def after_fork() -> None:
    """In a process forked from the template: open connections are not this process's."""
    django = _django()
    if django is None:
        return
    for alias in django.connections:
        wrapper = getattr(django.connections._connections, alias, None)
        if wrapper is not None:
            _leave(wrapper)
            del django.connections[alias]


def _django() -> Any:
    """The module django.db, where it is loaded and configured."""
    database, conf = sys.modules.get("django.db"), sys.modules.get("django.conf")
    return database if database is not None and conf is not None and conf.settings.configured else None


def _leave(wrapper: Any) -> None:
    _inherited.append(wrapper)
    connection = getattr(wrapper, "connection", None)
    if connection is not None:
        _cut(connection)
    # psycopg's pools have threads, which no fork has.
    pools = getattr(type(wrapper), "_connection_pools", None)
    if isinstance(pools, dict):
        _inherited.append(dict(pools))
        pools.clear()


def _cut(connection: Any) -> None:
    """Put the null device in the place of the socket: nothing goes to the server from here."""
    try:
        number = connection.fileno()
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        os.dup2(null, number, inheritable=False)
        os.close(null)
    except Exception:  # no socket (SQLite), or a driver that does not tell it: it is kept, and never used
        pass
