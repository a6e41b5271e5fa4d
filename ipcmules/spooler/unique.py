"""At most one task for a key: who calls while there is one gets that one's name, and writes none.

A file in unique/ has the name of the last task with the key. It is locked by whoever writes a task with it,
and written before the task: so a kill in between leaves the name of a task that is not there, which is none.
Whether there is one its own file says, so a spooler has nothing to do with any of it. Knows files.
"""

from __future__ import annotations

import os
import time

from ipcmules.errors import SpoolError
from ipcmules.kernel import unpatched
from ipcmules.kernel.interruption import opened
from ipcmules.spooler import claim, codec, expiry, keyed, names, standing
from ipcmules.spooler.enqueue import Writer
from ipcmules.spooler.manner import DONE
from ipcmules.spooler.request import Request

DIRECTORY = "unique"
_FILE = "ipcmules_unique_"
#: A writer has the lock for some system calls. For one that is stopped nobody waits longer, seconds.
_PATIENCE = 10.0
_PAUSE = 0.001
#: As much of a file is read: a name.
_LONGEST = 1024
#: A file whose task is over is removed after so many seconds.
_YOUTH = 60.0

#: The kernel's lock is the process's: one thread at a time, which leaves no greenlet in between.
_threads = unpatched.Lock()


def put(
    writer: Writer, request: Request, function: str, key: str, until: str, expires: float = 0.0
) -> tuple[str, bool]:
    """Write a task unless there is one of its function with that key; its name, and True if it is new.

    function: whose key it is. until: one of manner.UNTIL. expires: seconds after which a task that was not
    begun will not be: it is none any more, though its file is there yet. Raises as Writer.put(), and
    SpoolError where another process keeps the key's file locked.
    """
    writer.prepare()
    path = f"{writer.directory}/{DIRECTORY}/{_FILE}{keyed.digest(function, key)}"
    deadline = time.monotonic() + _PATIENCE
    if not _threads.acquire(True, _PATIENCE):
        raise SpoolError(_taken(path, key))
    try:
        file = _locked(writer, path, key, deadline)
        try:
            met = _name_in(file)
            if met and _is_there(writer.directory, met, until, expires):
                return met, False
            name = names.new_name()
            whole = f"{request.priority}/{name}" if request.priority else name
            _write(writer, file, whole, function, key)
            writer.put(request.head, request.body, request.at, request.priority, name)
            return whole, True
        finally:
            os.close(file)
    finally:
        _threads.release()


def sweep(directory: str) -> int:
    """Remove what is known of keys whose tasks are over; returns how many files."""

    def is_over(path: str) -> bool:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW)) as file:
            name = _first_line(file.read(_LONGEST))
        return not name or standing.of(directory, name).status in standing.OVER

    return _sweep(directory, is_over)


def _sweep(directory: str, is_over: object) -> int:
    if not _threads.acquire(False):  # closing a file would drop the lock of a thread that writes
        return 0
    try:
        return keyed.sweep(f"{directory}/{DIRECTORY}", _YOUTH, is_over)
    finally:
        _threads.release()


def _locked(writer: Writer, path: str, key: str, deadline: float) -> int:
    while True:
        try:
            file = keyed.open_file(path)
        except OSError as error:
            raise writer.failed(error) from error
        try:
            if keyed.try_lock(file) and not keyed.is_gone(file):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)
        if time.monotonic() > deadline:
            raise SpoolError(_taken(path, key))
        unpatched.sleep(_PAUSE)


def _taken(path: str, key: str) -> str:
    return (
        f"a task with the key {key!r} could not be enqueued: another process keeps {path} locked for more "
        f"than {_PATIENCE:g} s; it may be stopped (lslocks shows it)"
    )


def _write(writer: Writer, file: int, name: str, function: str, key: str) -> None:
    """Say whose the key is; the rest is for people."""
    data = os.fsencode(name) + f"\n{function}\n{key[:256]}\n".encode("utf-8", "backslashreplace")
    try:
        os.pwrite(file, data, 0)
        os.ftruncate(file, len(data))
    except OSError as error:
        raise writer.failed(error) from error


def _name_in(file: int) -> str:
    return _first_line(os.pread(file, _LONGEST, 0))


def _first_line(data: bytes) -> str:
    name = os.fsdecode(data.partition(b"\n")[0])
    return name if names.is_inside(name) else ""


def _is_there(directory: str, name: str, until: str, expires: float) -> bool:
    found = standing.of(directory, name)
    status = found.status
    if status in standing.OVER:
        return False
    if expires and status != standing.RUNNING and _has_expired(f"{directory}/{found.name}", expires):
        return False
    return until == DONE or status != standing.RUNNING


def _has_expired(path: str, expires: float) -> bool:
    """True for a task that is to be removed by the spooler that takes it."""
    if claim.is_held(path):
        return False
    try:
        with opened(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK) as file:
            arguments = codec.unpack(os.read(file.fileno(), codec.HEADER + codec.MOST))[0]
    except (OSError, codec.Malformed):
        return False
    return expiry.late_by(expires, path, arguments) > 0


def _after_fork() -> None:
    global _threads
    _threads = unpatched.Lock()


os.register_at_fork(after_in_child=_after_fork)
