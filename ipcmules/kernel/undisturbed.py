"""Importing what a process's first call needs, undisturbed by the program's signal handlers.

`with undisturbed:` is `with importing:` where a first call imports. A handler that runs in the middle of an
import, and makes the same call, finds modules that are half there. So signals wait for these milliseconds. In
a process with other threads they do not: another thread gets the signal, and the main one runs the handler.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # typeshed has none
import _thread
from types import TracebackType

from ipcmules.kernel.exhaustion import importing

#: Those that tell of a fault of the very instruction are not held up.
_FAULTS = (
    *(_signal.SIGSEGV, _signal.SIGBUS, _signal.SIGFPE, _signal.SIGILL),
    *(_signal.SIGABRT, _signal.SIGTRAP, _signal.SIGSYS),
)
_ALL = frozenset(_signal.valid_signals()).difference(_FAULTS)
_mask = _signal.pthread_sigmask


class _Undisturbed:
    def __init__(self) -> None:
        self._owner = self._depth = 0
        self._before: set[int] = set()

    def __enter__(self) -> None:
        if self._owner:
            self._depth += self._owner == _thread.get_ident()
            return
        if _thread._count():  # other threads than the main one
            return
        before = _mask(_signal.SIG_BLOCK, ())
        try:
            _mask(_signal.SIG_BLOCK, _ALL)  # handlers of signals that have come run in here, and may raise
        except BaseException:
            _mask(_signal.SIG_SETMASK, before)
            raise
        self._before, self._owner = before, _thread.get_ident()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._owner == _thread.get_ident():
            if self._depth:
                self._depth -= 1
            else:
                self._owner = 0
                _mask(_signal.SIG_SETMASK, self._before)
        importing.__exit__(kind, error, trace)


#: Around the imports of first calls.
undisturbed = _Undisturbed()
