"""The flat functions that enqueue tasks: spool(), send_to_spooler(), set_spooler(). As in uWSGI's module.

Knows membership for the bus's directories, and the spooler's files only to write them. What is known of
the spoolers of the bus is in spool_info.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ipcmules.api.handles import Task, handle
from ipcmules.errors import NotAttached, SpoolError
from ipcmules.kernel.exhaustion import importing
from ipcmules.member import inlining, membership
from ipcmules.spooler.results import SPOOL_IGNORE, SPOOL_OK, SPOOL_RETRY

if TYPE_CHECKING:
    from ipcmules.member.membership import Membership
    from ipcmules.spooler.enqueue import Writer
    from ipcmules.spooler.request import Request
    from ipcmules.spooler.wake import Spools

__all__ = ["SPOOL_IGNORE", "SPOOL_OK", "SPOOL_RETRY", "send_to_spooler", "set_spooler", "spool"]

#: Where tasks go, by what `spooler` says; for one membership (None: no bus), so that a new one starts anew.
#: With whom to tell of them; None: nobody, on no bus.
_targets: dict[str, tuple[Writer, Spools | None]] = {}
_targets_of: Membership | None = None
#: When a process on no bus looked for one last (time.monotonic()), and how often it does, seconds.
_looked = 0.0
_LOOK_EVERY = 1.0
#: So many tasks are told of by their names, which have room in the queue; more by a look at the directory.
_FEW = 8
#: So many are written at once: a spooler begins with the first ones while the others are written.
_AT_ONCE = 64
_reader: Callable[[Mapping[Any, Any]], Request] | None = None
#: Where tasks go in a process that is on no bus and runs those of one directory (`ipcmules tasks run`).
default_directory = ""


def spool(task: Mapping[Any, Any] | None = None, /, **arguments: Any) -> Task:
    """Enqueue a task: a spooler calls its function with these arguments. Returns its handle, which is a str,
    the path of its file.

    task, arguments: one dict, or keywords, or both. Keys are str or bytes; values str (as UTF-8), bytes-like
        or numbers (as text), together at most 65,535 bytes packed. The dict stays as it is.
    spooler: a directory that the bus declares, by whatever path; its first one if there is none. A process
        on no bus must name one that exists. HOST:PORT sends the task to another server.
    at: not before then: seconds since 1970 (int, float, str, bytes), a datetime, or a timedelta from now.
    priority: a number; lower ones come first where the bus has --spooler-ordered.
    body: bytes-like or str of any size.

    The file is there whole when this returns, and with --spooler-fsync on the disk; the path is '' where
    another server took the task. Raises SpoolError for what cannot be a task, SpoolWriteError (an OSError)
    where it cannot be written, UnknownTarget for a directory that the bus does not have, NotAttached; for
    another server WireError (an OSError) or WireRefused (a ValueError). From uWSGI's spool().
    """
    if task is None:
        task = arguments
    elif type(task) is not dict and not isinstance(task, Mapping):
        raise SpoolError(
            f"spool({task!r}): give the task's arguments as a dict, or as keywords"
            + ("; the decorator is ipcmules.decorators.spool" if callable(task) else "")
        )
    elif arguments:
        task = {**task, **arguments}
    if inlining.current is not None:
        ran: Task = inlining.current.task(task)
        return ran
    request = (_reader or _import_reader())(task)
    spooler = request.spooler
    if ":" in spooler and _sent(request):
        return handle("", "")
    member = membership.peek()
    if member is None or member is not _targets_of or member.ended():
        member = _settle(spooler)
    found = _targets.get(spooler)
    if found is None:
        found = _targets[spooler] = _open(member, spooler)
    writer, spools = found
    name = _put(writer, spools, request)
    directory = writer.shown
    return handle(f"{directory}/{name}", directory)


def _put(writer: Writer, spools: Spools | None, request: Request) -> str:
    """Write a task, and tell of it; returns its name."""
    # On a bus that has nothing else to do its master would wake for a file that is written at once.
    name = writer.put_at_once(request) if spools is None or spools.is_behind(writer.directory) else ""
    if spools is not None:
        name = name or writer.put(request.head, request.body, request.at, request.priority)
        spools.wake(writer.directory, name)
    elif not name:  # else a master that watches the directory was told by the file itself
        name = writer.put(request.head, request.body, request.at, request.priority)
        _wake_alone(writer.directory, name)
    return name


def put_many(requests: list[Request], what: str) -> list[Task]:
    """Enqueue tasks for one directory. what: does it, for errors. Raises as spool(); then those that were
    written are removed again, if nobody has begun them."""
    writer, spools = target(requests[0].spooler, what)
    found: list[str] = []
    try:
        if len(requests) <= _FEW:
            for each in requests:
                found.append(_put(writer, spools, each))
        else:
            for start in range(0, len(requests), _AT_ONCE):
                is_told = writer.put_many(requests[start : start + _AT_ONCE], found)
                _wake_for_many(writer, spools, found[start:], is_told)
    except BaseException:
        writer.take_back(found)
        raise
    directory = writer.shown
    return [handle(f"{directory}/{name}", directory) for name in found]


def _wake_for_many(writer: Writer, spools: Spools | None, found: list[str], is_told: bool) -> None:
    """Tell of tasks. is_told: a master that watches the directory was told by the files themselves."""
    if spools is not None:
        spools.wake_for_many(writer.directory, any("/" in name for name in found))
    elif not is_told:
        for name in found:
            _wake_alone(writer.directory, name)


def spool_unique(task: Mapping[Any, Any], function: str, key: str, until: str, expires: float = 0.0) -> Task:
    """As spool(), where there is no task of that function with that key; else that one's handle.

    until: one of manner.UNTIL. expires: seconds after which one that was not begun is none any more. Raises
    as spool(), and SpoolError for another server's spooler.
    """
    with importing:
        from ipcmules.spooler import unique

    if inlining.current is not None:
        ran: Task = inlining.current.task(task)
        return ran
    request = _import_reader()(task)
    writer, spools = target(request.spooler, "unique=")
    if writer.shown != writer.directory:
        with importing:
            from ipcmules.api import clustered_tasks

        name = clustered_tasks.spool_unique(writer.shown, request, function, key, until)
        return handle(f"{writer.shown}/{name}", writer.shown)
    name, is_new = unique.put(writer, request, function, key, until, expires)
    if is_new:
        wake(writer, spools, name)
    return handle(f"{writer.directory}/{name}", writer.directory)


def target(spooler: str, what: str) -> tuple[Writer, Spools | None]:
    """Where the tasks of a directory are written, and who is told of them. what: needs that, for the error.

    Raises as spool(), and SpoolError for the address of another server.
    """
    with importing:
        from ipcmules.api import remote_tasks

    if ":" in spooler and remote_tasks.is_address(spooler):
        raise SpoolError(f"{what} is not for the spooler of another server ({spooler!r}): name a directory")
    member = membership.peek()
    if member is None or member is not _targets_of or member.ended():
        member = _settle(spooler)
    found = _targets.get(spooler)
    if found is None:
        found = _targets[spooler] = _open(member, spooler)
    return found


def wake(writer: Writer, spools: Spools | None, name: str) -> None:
    """Tell of a task that was written."""
    if spools is not None:
        spools.wake(writer.directory, name)
    else:
        _wake_alone(writer.directory, name)


def _wake_alone(directory: str, name: str) -> None:
    """On no bus: a master that watches the directory sees it."""
    with importing:
        from ipcmules.spooler.wake import touch

    touch(directory, name)


#: uWSGI's other name for it.
send_to_spooler = spool


def set_spooler(function: Callable[[dict[Any, Any]], Any] | None) -> None:
    """Have function(task) called for each task that is no call of a decorated function; None for no function.

    task: a dict of bytes, but for the str keys spooler_task_name (the file's name, bytes) and body. It
    returns SPOOL_OK, SPOOL_RETRY or SPOOL_IGNORE; anything else is SPOOL_RETRY. Raises TypeError. From the
    uwsgi.spooler that an app assigns.
    """
    with importing:
        from ipcmules.spooler import calls

    calls.assign(function)


def _import_reader() -> Callable[[Mapping[Any, Any]], Request]:
    """What reads a task (request.read), which is imported with the first one."""
    global _reader
    with importing:
        from ipcmules.spooler.request import read

    _reader = read
    return read


def _sent(request: Request) -> bool:
    """Send a task to another server; False if it names a directory."""
    with importing:
        from ipcmules.api import remote_tasks

    if not remote_tasks.is_address(request.spooler):
        return False
    remote_tasks.send(request)
    return True


def _settle(spooler: str) -> Membership | None:
    """The bus this process is on now, None if it is on none. What was remembered of another is forgotten.

    But the directories of a bus that has ended are there still: its processes that outlive it (a web server
    over a restart) go on writing into them. Who is on no bus looks for one once a second only.
    """
    global _targets_of, _looked
    member, now = membership.peek(), time.monotonic()
    if member is None and _targets_of is None and spooler in _targets and now - _looked < _LOOK_EVERY:
        return None
    ended = member is not None and member.ended()
    if ended:
        membership.leave()
    member, _looked = membership.find(), now
    if member is not _targets_of:
        if member is not None or not ended:
            _targets.clear()
        _targets_of = member
    return member


def _open(member: Membership | None, spooler: str) -> tuple[Writer, Spools | None]:
    with importing:
        from ipcmules.spooler.enqueue import Writer

    if member is not None:
        config = member.description.config
        if config.cluster_spoolers:
            with importing:
                from ipcmules.api import clustered_tasks

            clustered = clustered_tasks.writer(member, spooler)
            if clustered is not None:
                return clustered, None
        with importing:
            from ipcmules.spooler import names

        directory, mark = member.spools.resolve(spooler), names.mark_of(member.description.generation)
        return Writer(directory, fsync=config.spooler_fsync, mark=mark), member.spools
    if not spooler and default_directory:
        return Writer(default_directory), None
    if not spooler:
        raise NotAttached(
            "this process is on no bus, so there is no spooler to enqueue to: name a directory with "
            "spooler='/path', or start it with `ipcmules run --spooler /path -- COMMAND`"
        )
    return Writer(spooler, make=False), None
