"""The flat functions that enqueue tasks: spool(), send_to_spooler(), set_spooler(). As in uWSGI's module.

Knows membership for the bus's directories, and the spooler's files only to write them. What is known of
the spoolers of the bus is in spool_info.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ipcmules import inlining, membership
from ipcmules.errors import NotAttached, SpoolError
from ipcmules.spooler import names
from ipcmules.spooler.names import SPECIAL
from ipcmules.spooler.results import SPOOL_IGNORE, SPOOL_OK, SPOOL_RETRY

if TYPE_CHECKING:
    from ipcmules.membership import Membership
    from ipcmules.messages.spooled import Spools
    from ipcmules.spooler.enqueue import Writer
    from ipcmules.spooler.request import Request

__all__ = ["SPOOL_IGNORE", "SPOOL_OK", "SPOOL_RETRY", "send_to_spooler", "set_spooler", "spool"]

#: Where tasks go, by what `spooler` says; for one membership (None: no bus), so that a new one starts anew.
#: With whom to tell of them; None: nobody, on no bus.
_targets: dict[str, tuple[Writer, Spools | None]] = {}
_targets_of: Membership | None = None
#: When a process on no bus looked for one last (time.monotonic()), and how often it does, seconds.
_looked = 0.0
_LOOK_EVERY = 1.0
#: Where tasks go in a process that is on no bus and runs those of one directory (`ipcmules tasks run`).
default_directory = ""


def spool(task: Mapping[Any, Any] | None = None, /, **arguments: Any) -> str:
    """Enqueue a task: a spooler calls its function with these arguments. Returns the path of its file.

    task, arguments: one dict, or keywords, or both. Keys are str or bytes; values str (as UTF-8), bytes-like
        or numbers (as text), together at most 65,535 bytes packed. The dict stays as it is.
    spooler: a directory that the bus declares, by whatever path; its first one if there is none. A process
        on no bus must name one, which is made if it is missing. HOST:PORT sends the task to another server.
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
        raise SpoolError(f"spool({task!r}): give the task's arguments as a dict, or as keywords")
    elif arguments:
        task = {**task, **arguments}
    if inlining.current is not None:
        return inlining.current.task(task)
    # Without the keys that say how to enqueue it is told of before it is packed: the spooler's wake-up takes
    # about as long as all that is done here.
    plain = SPECIAL.isdisjoint(task)
    request = None if plain else _read(task)
    spooler = "" if request is None else request.spooler
    if request is not None and ":" in spooler and _sent(request):
        return ""
    member = membership.peek()
    if member is None or member is not _targets_of or member.ended():
        member = _settle(spooler)
    found = _targets.get(spooler)
    if found is None:
        found = _targets[spooler] = _open(member, spooler)
    writer, spools = found
    directory = writer.directory
    if spools is None:
        return _put_alone(writer, request or _read(task))
    if request is not None:
        name = writer.put(request.head, request.body, request.at, request.priority)
        spools.wake(directory, name)
    else:
        name = names.new_name()
        told = 0 if writer.fsync else spools.soon(directory, name)
        writer.put(_pack(task), name=name)
        spools.wake(directory, name, told)
    return f"{directory}/{name}"


def _put_alone(writer: Writer, request: Request) -> str:
    """On no bus: a master that watches the directory sees it."""
    from ipcmules.messages.spooled import touch

    name = writer.put(request.head, request.body, request.at, request.priority)
    touch(writer.directory, name)
    return f"{writer.directory}/{name}"


#: uWSGI's other name for it.
send_to_spooler = spool


def set_spooler(function: Callable[[dict[Any, Any]], Any] | None) -> None:
    """Have function(task) called for each task that is no call of a decorated function; None for no function.

    task: a dict of bytes, but for the str keys spooler_task_name (the file's name, bytes) and body. It
    returns SPOOL_OK, SPOOL_RETRY or SPOOL_IGNORE; anything else is SPOOL_RETRY. Raises TypeError. From the
    uwsgi.spooler that an app assigns.
    """
    from ipcmules.spooler import calls

    calls.assign(function)


def _read(task: Mapping[Any, Any]) -> Request:
    """As request.read(), which takes this name's place when it is first called: it is imported late."""
    global _read
    from ipcmules.spooler.request import read as _read

    return _read(task)


def _pack(task: Mapping[Any, Any]) -> bytes:
    """As codec.pack(), in the same way."""
    global _pack
    from ipcmules.spooler.codec import pack as _pack

    return _pack(task)


def _sent(request: Request) -> bool:
    """Send a task to another server; False if it names a directory."""
    from ipcmules import remote_spooling

    if not remote_spooling.is_address(request.spooler):
        return False
    remote_spooling.send(request)
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
    from ipcmules.spooler.enqueue import Writer

    if member is not None:
        config = member.description.config
        return Writer(member.spools.resolve(spooler), fsync=config.spooler_fsync), member.spools
    spooler = spooler or default_directory
    if not spooler:
        raise NotAttached(
            "this process is on no bus, so there is no spooler to enqueue to: name a directory with "
            "spooler='/path', or start it with `ipcmules run --spooler /path -- COMMAND`"
        )
    return Writer(spooler), None
