"""When the system refuses a descriptor, a process, memory or room on a disk: is it that, and what mends it.

Such a refusal says nothing about what was asked for: a process that cannot be watched is not dead, a
directory that cannot be read is not empty. Who meets one goes on later, or says it with the remedy. Knows
errno and errors.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from types import TracebackType

from ipcmules.errors import LimitError

#: What mends each; the texts follow "...; ".
_REMEDIES = {
    errno.EMFILE: "raise the limit of open files (ulimit -n; LimitNOFILE= of a unit)",
    errno.ENFILE: "raise the number of files that the system can have open (sysctl fs.file-max)",
    errno.ENOMEM: "free memory, or give the container more",
    errno.ENOBUFS: "free memory, or give the container more",
    errno.EAGAIN: "raise the limit of processes (ulimit -u; TasksMax= of a unit; docker: --pids-limit)",
    errno.ENOSPC: "make room there (df shows its bytes, df -i its inodes)",
    errno.EDQUOT: "make room in the quota of this user",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f unlimited)",
}
#: The remedy for shared memory that is full.
MORE_SHARED_MEMORY = "make room in /dev/shm, or give the container more (docker: --shm-size)"


#: posix_ipc tells of these two by text alone: its OSErrors have no number then.
_TEXTS = {"maximum number of files": errno.EMFILE, "total number of open files": errno.ENFILE}


def number_of(error: OSError) -> int:
    """The error's number (errno), 0 if it has none."""
    if error.errno is not None:
        return error.errno
    return next((number for text, number in _TEXTS.items() if text in str(error)), 0)


def refused(error: BaseException) -> bool:
    """True if the system had no more of something."""
    return isinstance(error, OSError) and number_of(error) in _REMEDIES


def no_descriptor(error: OSError) -> bool:
    """True if there was no descriptor: for this process, or for anybody."""
    return number_of(error) in (errno.EMFILE, errno.ENFILE)


def remedy(error: OSError, full: str = "") -> str:
    """What mends it, in words; "" for another kind of error. full: those for a full file system."""
    number = number_of(error)
    if full and number in (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM):
        return full
    return _REMEDIES.get(number, "")


def explain(error: OSError, what: str) -> LimitError:
    """The error to raise in place of one that refused() is true of. what: what could not be done."""
    if isinstance(error, LimitError):
        return error
    number = number_of(error)
    name = f" ({os.fsdecode(error.filename)})" if isinstance(error.filename, (str, bytes)) else ""
    made = LimitError(f"{what}{name}: {os.strerror(number)}; {remedy(error)}")
    made.errno = number  # so that whoever meets it knows what it was
    return made


def no_room(error: OSError, what: str, path: str = "/dev/shm/") -> LimitError:
    """The error to raise where memory could not be reserved. what: what it was for, with how many bytes.

    path: where the file is, or would be.
    """
    full = MORE_SHARED_MEMORY if path.startswith("/dev/shm/") else ""
    made = LimitError(f"{what}: {error.strerror}; {remedy(error, full) or 'make room there'}")
    made.errno = error.errno
    return made


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """What the system refuses within is raised as explain() says it. what: what could not be done."""
    try:
        yield
    except OSError as error:
        if isinstance(error, LimitError) or not refused(error):
            raise
        raise explain(error, what) from error


class _Importing:
    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ImportError):  # of a module in C, which the loader could not open
            numbers = (each for each in _REMEDIES if os.strerror(each) in str(error))
            cause = OSError(next(numbers, 0), str(error))
        elif isinstance(error, OSError):
            cause = error
        else:
            return
        if refused(cause):
            raise explain(cause, "a module of ipcmules, or one that it needs, cannot be loaded") from error


#: Around an import in a function, `with importing:`. It may be made when there is no descriptor to read by.
importing = _Importing()
