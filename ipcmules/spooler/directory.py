"""A spool directory before anything is in it: made where it is missing, refused where it is not safe.

What stands in a task may be unpickled by whoever runs it, so a directory into which other users can
write is a way to run code as us.
"""

from __future__ import annotations

import os
import stat

from ipcmules.errors import AccessError, SpoolError
from ipcmules.kernel import ownership

#: As uWSGI makes it (S_IRWXU | S_IRGRP | S_IXGRP).
MODE = 0o750


def real(path: str) -> str:
    """The real path of a spool directory that is or will be there. AccessError where others can replace
    it."""
    problem = ownership.way_to(path)
    if problem:
        raise AccessError(f"the spool directory {path} is not safe, and what is in it is run: {problem}")
    return os.path.realpath(path)


def prepare(path: str, make: bool = True) -> str:
    """Make a spool directory if it is missing, look whether it is ours alone, and return its real path.

    make: False where its name may be a slip: then a missing one is an error (SpoolError).

    Raises AccessError as check(); SpoolError where it cannot be made.
    """
    if not make and not os.path.exists(path):
        raise SpoolError(
            f"the spool directory {path} does not exist: if that is its name, make it (mkdir -m 750 {path}), "
            "or start the bus that has it (--spooler), which makes it"
        )
    found = real(path)
    try:
        os.mkdir(found, MODE)
    except FileExistsError:
        pass
    except OSError as error:
        raise SpoolError(
            f"the spool directory {found} does not exist and cannot be made: {error.strerror}; make it first"
        ) from error
    check(path)
    return found


def check(path: str) -> None:
    """Raise AccessError if a directory is not one to put tasks into, or to run tasks from.

    That is one which belongs to another user (root's are taken), to which others can write, which others can
    replace (its parents, symbolic links on the way), or which this process cannot use.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        raise AccessError(f"the spool directory {path} cannot be looked at: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise AccessError(f"{path} is not a directory: name another one for the spooler, or remove it")
    problem = ownership.problem_of(path, found) or ownership.way_to(path)
    if problem:
        raise AccessError(f"the spool directory {path} is not safe, and what is in it is run: {problem}")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        raise AccessError(
            f"uid {os.geteuid()} may not read and write the spool directory {path} "
            f"(uid {found.st_uid}, mode {stat.S_IMODE(found.st_mode):04o}): chown or chmod it"
        )


def problem_below(directory: str, name: str) -> str:
    """Why a directory below a spool directory, a priority's or dead/, is none to run tasks from; "" if it is.

    name: relative to the spool directory. One that is not there has no problem.
    """
    path = directory
    for part in filter(None, name.split("/")):
        path = f"{path}/{part}"
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"{path} cannot be looked at: {error.strerror}"
        if stat.S_ISLNK(found.st_mode):
            return (
                f"{path} is a symbolic link, which a directory below a spool directory must not be: remove it"
            )
        if not stat.S_ISDIR(found.st_mode):
            return ""  # nothing is below it
        problem = ownership.problem_of(path, found)
        if problem:
            return f"what is in a spool directory is run, and {problem}"
    return ""


def check_below(directory: str, name: str) -> None:
    """Raise AccessError if a directory below a spool directory is none to put tasks into, or to run them
    from."""
    problem = problem_below(directory, name)
    if problem:
        raise AccessError(problem)
