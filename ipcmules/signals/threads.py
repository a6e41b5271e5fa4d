"""The lock between the threads of this process, for what belongs to the registrations.

Apart from the registry lock, which comes after it: a process that registers nothing does not load that one.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

from ipcmules.kernel import unpatched

_lock = unpatched.RLock()


def _after_fork() -> None:
    # Another thread of the parent may have held it.
    global _lock
    _lock = unpatched.RLock()


os.register_at_fork(after_in_child=_after_fork)


def threads() -> AbstractContextManager[bool]:
    """The lock, for a with statement; may be nested."""
    return _lock
