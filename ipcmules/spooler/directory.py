"""A spool directory before anything is in it: made where it is missing, refused where it is not safe.

What stands in a task may be unpickled by whoever runs it, so a directory into which other users can
write is a way to run code as us.
"""

from __future__ import annotations

import os
import stat

from ipcmules.errors import AccessError, SpoolError

#: As uWSGI makes it (S_IRWXU | S_IRGRP | S_IXGRP).
MODE = 0o750


def prepare(path: str) -> str:
    """Make a spool directory if it is missing, look whether it is ours, and return its real path.

    Raises AccessError for one that belongs to another user (root's are taken), that everybody can write
    to, or that this process cannot use; SpoolError where it cannot be made.
    """
    path = os.path.realpath(path)
    try:
        os.mkdir(path, MODE)
    except FileExistsError:
        pass
    except OSError as error:
        raise SpoolError(
            f"the spool directory {path} does not exist and cannot be made: {error.strerror}; make it first"
        ) from error
    check(path)
    return path


def check(path: str) -> None:
    """Raise AccessError if a directory is not one to put tasks into, or to run tasks from."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise AccessError(f"the spool directory {path} cannot be looked at: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise AccessError(f"{path} is not a directory: name another one for the spooler, or remove it")
    if found.st_uid not in (os.geteuid(), 0):
        raise AccessError(
            f"the spool directory {path} belongs to uid {found.st_uid}, this process is uid {os.geteuid()}: "
            "run as that user, or use a directory of your own"
        )
    if found.st_mode & stat.S_IWOTH:
        raise AccessError(
            f"everybody can write to the spool directory {path} (mode "
            f"{stat.S_IMODE(found.st_mode):04o}), and what is in it is run: chmod o-w {path}"
        )
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        raise AccessError(
            f"uid {os.geteuid()} may not read and write the spool directory {path} "
            f"(uid {found.st_uid}, mode {stat.S_IMODE(found.st_mode):04o}): chown or chmod it"
        )
