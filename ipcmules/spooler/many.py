"""Many calls of one function as requests: what is the same in all of them is packed once.

Knows how calls are written; nothing of files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ipcmules.functions import tracing
from ipcmules.kernel.exhaustion import importing
from ipcmules.spooler import codec
from ipcmules.spooler.arguments import LONGEST
from ipcmules.spooler.calls import SpoolFunction
from ipcmules.spooler.request import Request, read

#: Request(...) in half the time.
_new = tuple.__new__

Call = tuple[tuple[Any, ...], Mapping[str, Any]]


def requests(function: SpoolFunction, calls: Iterable[Call], more: dict[str, Any]) -> list[Request]:
    """A request for each call. more: the words that say how to enqueue, for all of them. Raises as
    SpoolFunction.pack() and request.read()."""
    if not function.pass_arguments:
        return [read(function.pack(args, kwargs) | more) for args, kwargs in calls]
    named = {**function.named, **tracing.carried()}
    base = read({**named, **more})
    rest = base[1:]
    plain = _Plain(function, base.head[codec.HEADER :])
    found: list[Request] = []
    for args, kwargs in calls:
        head = plain.pack(args) if not kwargs else b""
        if head:
            found.append(_new(Request, (head, *rest)))
            continue
        varying = function.pickled(args, dict(kwargs))
        if len(varying) == 2:  # `args` and `kwargs`; a body and words of the spooler come beside these
            found.append(_new(Request, (codec.pack(varying, plain.same), *rest)))
        else:
            found.append(read({**named, **varying, **more}))
    return found


class _Plain:
    """Calls without keywords, of a function with arguments of its own. same: what stands in all tasks."""

    def __init__(self, function: SpoolFunction, same: bytes) -> None:
        with importing:
            import pickle

        self.same = same
        self._dumps = pickle.dumps
        self._check = function.parameters.check
        #: So many arguments may be given; without keywords nothing else counts.
        self._fit: set[int] = set()
        self._before = same + codec.pack({"args": b""})[codec.HEADER : -2]
        self._after = codec.pack({"kwargs": pickle.dumps({})})[codec.HEADER :]
        self._longest = LONGEST - len(self._after)

    def pack(self, args: tuple[Any, ...]) -> bytes:
        """Header and arguments; b"" for what is not for this. Raises TypeError for what the function does
        not take."""
        if len(args) not in self._fit:
            self._check(args, {})
            self._fit.add(len(args))
        try:
            packed = self._dumps(args)
        except Exception:  # whatever an argument's own pickling raises: to pack it otherwise says so
            return b""
        length = len(packed)
        if length > self._longest:
            return b""
        block = b"".join((self._before, length.to_bytes(2, "little"), packed, self._after))
        return codec.with_header(block) if len(block) <= codec.MOST else b""
