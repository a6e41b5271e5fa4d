"""inotify(7) in the master: how a descriptor is opened, and what to do where the kernel gives none.

Knows nothing of what is watched.
"""

from __future__ import annotations

import ctypes
import errno

import inotify_simple

_REMEDIES = {
    errno.ENOSPC: "too many watches: sysctl fs.inotify.max_user_watches=524288",
    errno.EMFILE: "too many inotify instances: sysctl fs.inotify.max_user_instances=1024",
}


def open_inotify() -> inotify_simple.INotify:
    """A descriptor that does not block. Raises OSError."""
    # It would look the C library up in a subprocess (ctypes.util.find_library runs ldconfig): it is in this
    # process already.
    inotify_simple._libc = inotify_simple._libc or ctypes.CDLL(None, use_errno=True)
    return inotify_simple.INotify(nonblocking=True)


def reason(error: OSError) -> str:
    """Why something cannot be watched, with the remedy where there is one."""
    return _REMEDIES.get(error.errno or 0) or error.strerror or str(error)
