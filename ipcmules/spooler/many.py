"""Many calls of one function as requests: what is the same in all of them is packed once.

Knows how calls are written; nothing of files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ipcmules.spooler import codec
from ipcmules.spooler.calls import SpoolFunction
from ipcmules.spooler.request import Request, read

#: Request(...) in half the time.
_new = tuple.__new__


def requests(
    function: SpoolFunction,
    calls: Iterable[tuple[tuple[Any, ...], Mapping[str, Any]]],
    more: dict[str, Any],
) -> list[Request]:
    """A request for each call. more: the words that say how to enqueue, for all of them. Raises as
    SpoolFunction.pack() and request.read()."""
    if not function.pass_arguments:
        return [read(function.pack(args, kwargs) | more) for args, kwargs in calls]
    base = read({**function.named, **more})
    same, at, priority, spooler = base.head[codec.HEADER :], base.at, base.priority, base.spooler
    pack, pickled = codec.pack, function.pickled
    found: list[Request] = []
    for args, kwargs in calls:
        varying = pickled(args, dict(kwargs))
        if len(varying) == 2:  # `args` and `kwargs`; a body and words of the spooler come beside these
            found.append(_new(Request, (pack(varying, same), b"", at, priority, spooler)))
        else:
            found.append(read({**function.named, **varying, **more}))
    return found
