"""In the mules under fire: now and then a child that is forked by user code, and returns or raises there."""

from __future__ import annotations

import os

from chaos import records

#: One call in so many forks.
_EVERY = 60

_on = records.does("fork")
_calls = 0
#: Not reaped yet.
_children: list[int] = []
#: True in such a child, which receives nothing and handles nothing from then on.
is_child = False


class Forked(Exception):
    """What half of the children raise."""


def sometimes() -> bool:
    """Fork at some calls. True in a child that is to return (others raise Forked), False in the parent."""
    global _calls, is_child
    if not _on:
        return False
    _calls += 1
    _children[:] = [each for each in _children if os.waitpid(each, os.WNOHANG) == (0, 0)]
    if _calls % _EVERY:
        return False
    try:
        pid = os.fork()
    except OSError:
        return False  # the system has no process to give
    if pid:
        _children.append(pid)
        return False
    is_child = True
    raises = _calls // _EVERY % 2 == 0
    records.write("forked", f"{'raises' if raises else 'returns'} {os.getpid()}")
    if raises:
        raise Forked
    return True
