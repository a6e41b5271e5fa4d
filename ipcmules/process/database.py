"""Django's database connections in processes that are forked and never serve a request.

Django closes what is unusable or too old at the begin and the end of each request; here that is done around
each task, message and signal. A coroutine has connections of its own, as others run beside it. And a
connection that was opened while the app was loaded is the template's: a forked process must neither use its
socket, where it would read answers to others' questions, nor say goodbye on it. Does nothing where Django is
not loaded; imports nothing of it.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from ipcmules.bus import log
from ipcmules.functions import coroutines
from ipcmules.kernel.exhaustion import importing

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


class _OwnConnections:
    """Around a coroutine: what it asks of Django runs on a thread of its own, as a request's under ASGI does,
    and the connections of that thread are closed with it.

    On the one thread that all coroutines would share nobody closes them. And what closes one there may do so
    between two pieces of what another coroutine reads.
    """

    def __init__(self) -> None:
        self._sync = _asgiref()
        self._context = None if self._sync is None else self._sync.ThreadSensitiveContext()

    async def __aenter__(self) -> None:
        if self._context is not None:
            await self._context.__aenter__()

    async def __aexit__(self, *error: object) -> None:
        if self._context is None:
            return
        try:
            if self._context in self._sync.SyncToAsync.context_to_thread_executor:  # it asked
                await self._sync.sync_to_async(_close_all)()
        finally:
            await self._context.__aexit__(*error)


coroutines.surroundings = _OwnConnections


def _asgiref() -> Any:
    """The module by which Django's coroutines run what is none; None where Django is not used."""
    if _django() is None:
        return None
    try:
        with importing:
            return importlib.import_module("asgiref.sync")
    except ImportError:
        return None


def _close_all() -> None:
    """Close the connections of this thread."""
    django = _django()
    for _alias, each in _of_thread(django):
        try:
            each.close()
        except Exception:  # as in refresh()
            log.exception("Django's connections could not be closed:")


def after_fork() -> None:
    """In a process forked from the template: open connections are not this process's."""
    django = _django()
    if django is None:
        return
    for alias, wrapper in _of_thread(django):
        _leave(wrapper)
        del django.connections[alias]


def _of_thread(django: Any) -> list[tuple[str, Any]]:
    """The connections that this thread has, by their aliases."""
    found = ((alias, getattr(django.connections._connections, alias, None)) for alias in django.connections)
    return [each for each in found if each[1] is not None]


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
