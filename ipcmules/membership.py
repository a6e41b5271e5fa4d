"""This process's place on a bus: which bus, in which role, with which open handles.

One membership a process. A process joins at its first call or registration: by IPCMULES_BUS, else
because one of its ancestors embeds a bus, else not at all (NotAttached). Knows the parts below it
(messages, signals, locks) only to open them when they are first used and to reset them in a forked
child; what the parts do is theirs.

Roles: 'template' (the process mules are forked from), 'mule', 'spooler' and 'worker' (with a number; started
by the master), 'attached' (any other process; takes a worker number when it serves signals), 'child'
(a process forked by a mule, a spooler, a worker or the template: sends, raises and locks, receives nothing).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import posix_ipc

from ipcmules import liveness, processes, table
from ipcmules.errors import BusRunning, BusStopped, NotAttached
from ipcmules.places import BUS_VARIABLE, Places, places, runtime_root
from ipcmules.signals.registry import Registry

if TYPE_CHECKING:
    from ipcmules.description import Description
    from ipcmules.locks import Locks
    from ipcmules.messages.inbox import Inbox
    from ipcmules.messages.post import Post
    from ipcmules.messages.spooled import Spools
    from ipcmules.signals.raiser import Raiser

#: Roles in which a forked child stays an attached process of its own.
_ATTACHED = "attached"
_CHILD = "child"


class Membership:
    """A process on a bus. The parts are opened when they are first used."""

    def __init__(
        self, where: Places, found: Description, shared: table.Table, role: str, number: int
    ) -> None:
        self.where = where
        self.description = found
        self.table = shared
        self.role = role
        self.number = number
        #: The worker number this process holds, 0 if none.
        self.worker = number if role == "worker" else 0
        #: How many objects that attach() gave out have not been detached.
        self.attachments = 0
        #: The last signal handled here (its number in this process), for signal_received().
        self.last_signal = 0
        self.inbox: Inbox | None = None
        self._post: Post | None = None
        self._raiser: Raiser | None = None
        self._locks: Locks | None = None
        self._spools: Spools | None = None

    @property
    def post(self) -> Post:
        """The sending side."""
        if self._post is None:
            with _turn:
                from ipcmules.messages.post import Post

                if self._post is None:
                    self._post = Post(self.where, self.description, self.table)
        return self._post

    @property
    def raiser(self) -> Raiser:
        """The raising side of signals."""
        if self._raiser is None:
            with _turn:
                from ipcmules.signals.raiser import Raiser

                if self._raiser is None:
                    self._raiser = Raiser(self.where, self.description, self.table)
        return self._raiser

    @property
    def locks(self) -> Locks:
        """The bus's locks."""
        if self._locks is None:
            with _turn:
                from ipcmules.locks import Locks

                if self._locks is None:
                    self._locks = Locks(self.description.semaphores)
        return self._locks

    @property
    def spools(self) -> Spools:
        """The bus's spool directories."""
        if self._spools is None:
            with _turn:
                from ipcmules.messages.spooled import Spools

                if self._spools is None:
                    self._spools = Spools(self.where, self.description, self.table)
        return self._spools

    def farms(self) -> tuple[str, ...]:
        """The farms this mule is in; none in any other process."""
        if self.role != "mule":
            return ()
        return tuple(each.name for each in self.description.config.farms if self.number in each.mules)

    def ended(self) -> bool:
        """True once the bus this process joined is over, stopped or replaced by another of its name."""
        cells = self.table.cells
        return cells[table.H_STATE] == table.STOPPED or (
            cells[table.H_GENERATION] != self.description.generation
        )

    def close(self, flush_seconds: float = 5.0) -> None:
        """Flush what is buffered, close what is open, and free the locks that are still held."""
        if self._post is not None:
            try:
                self._post.flush(flush_seconds)
            except BusStopped:
                pass  # close() keeps what did not get into a queue
            self._post.close()
            self._post = None
        if self._raiser is not None:
            self._raiser.close()
            self._raiser = None
        if self._spools is not None:
            self._spools.close()
            self._spools = None
        if self._locks is not None:
            self._locks.release_all()
            self._locks = None

    def reset_after_fork(self) -> None:
        """In a forked child: nothing that was the parent's is this process's."""
        self.role = _ATTACHED if self.role == _ATTACHED else _CHILD
        self.number = self.worker = 0
        self.inbox = None
        if self._post is not None:
            self._post.after_fork()
        if self._raiser is not None:
            self._raiser.after_fork()
        if self._spools is not None:
            self._spools.after_fork()
        if self._locks is not None:
            self._locks.after_fork()


#: The registrations of this process; they exist before there is a bus and are published at joining.
registry = Registry()

#: What to call for a message, by the second argument of mule_msg; filled and read by ipcmules.api.
senders: dict[Any, Callable[..., bool]] = {}

#: What to call to raise a signal, by its number in this process; filled and read by ipcmules.api.
raisers: dict[int, Callable[[], None]] = {}
registry.on_change = raisers.clear


def _nothing_loaded() -> bytes | None:
    return None


#: The next message this mule's inbox has loaded already; None: ask the inbox itself. Called by ipcmules.api.
next_message: Callable[[], bytes | None] = _nothing_loaded

#: Called with the membership whenever this process has joined a bus.
on_join: list[Callable[[Membership], None]] = []

#: True while a process of the master's loads the app: what costs a question each is recorded then, and
#: published together by what is in on_loaded, called with the membership, before the process is ready.
loading = False
on_loaded: list[Callable[[Membership], None]] = []

_current: Membership | None = None
#: The bus this process joined last and did not leave for good: when it is back, this process is on it again.
_home: Places | None = None

#: Held while this process joins, and while a part of its membership is imported and made, by one thread at a
#: time. A fork waits for it: a module that another thread is importing stays locked in the child for ever.
_turn = threading.RLock()


def peek() -> Membership | None:
    """The membership this process has already, without looking for a bus."""
    return _current


def find() -> Membership | None:
    """The membership of this process, joining the bus it belongs to; None if there is none."""
    if _current is not None:
        return _current
    where = _search()
    return join(where, _ATTACHED) if where is not None and liveness.is_alive(where) else None


def current() -> Membership:
    """The membership of this process, joining the bus it belongs to.

    Raises NotAttached if there is no bus it could belong to, or that bus is not running.
    """
    if _current is not None:
        return _current
    where = _search()
    if where is None:
        raise NotAttached(
            f"this process is on no bus: {BUS_VARIABLE} is not set and no parent process embeds one; start "
            "it with `ipcmules run -- COMMAND`, call ipcmules.attach(NAME), or use ipcmules.Bus"
        )
    return join(where, _ATTACHED)


def _search() -> Places | None:
    """The bus this process belongs to, whether it is alive or not."""
    name = os.environ.get(BUS_VARIABLE)
    return _home or (places(name) if name else _ancestral_bus())


def _ancestral_bus() -> Places | None:
    """The bus that an ancestor embeds: that of a child of a forkserver older than the bus."""
    try:
        names = [entry.name for entry in os.scandir(runtime_root()) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return None
    if not names:
        return None
    from ipcmules import description as descriptions

    ancestors = {(each.pid, each.start) for each in processes.ancestors()}
    for name in names:
        where = places(name)
        found = descriptions.read(where)
        if found is not None and tuple(found.config.owner) in ancestors and liveness.is_alive(where):
            return where
    return None


def join(where: Places, role: str, number: int = 0) -> Membership:
    """Join a bus.

    Raises NotAttached if it is not running, BusRunning if this process is on another one, FormatError if
    another version of ipcmules runs it.
    """
    with _turn:
        return _join(where, role, number)


def _join(where: Places, role: str, number: int) -> Membership:
    global _current, _home
    if _current is not None:
        if _current.where != where:
            raise BusRunning(
                f"this process is on bus {_current.where.bus!r} already, and a process has one membership: "
                f"stop or leave it before joining {where.bus!r}"
            )
        if not _current.ended():
            return _current
        leave()  # the bus of this name is another one by now, or none
    from ipcmules import description as descriptions  # with config 8 ms: only who joins needs them

    found = descriptions.load(where)
    if found is None or not found.complete or not liveness.is_alive(where):
        raise NotAttached(
            f"bus {where.bus!r} is not running (looked in {where.runtime}): start it with "
            f"`ipcmules run --bus {where.bus}`"
        )
    try:
        shared = table.open(where.table)
    except posix_ipc.ExistentialError as error:
        raise NotAttached(f"bus {where.bus!r} is stopping: its table is gone; try again") from error
    _current = Membership(where, found, shared, role, number)
    _home = where
    registry.publish(where, shared)
    for hook in on_join:
        hook(_current)
    return _current


def become(role: str, number: int) -> Membership:
    """In a process forked from the template: take the role and number the master gave it."""
    member = current()
    member.role, member.number = role, number
    senders.clear()
    raisers.clear()
    return member


def receive_with(member: Membership, inbox: Inbox) -> None:
    """In a mule: this is where it receives from now on."""
    global next_message
    member.inbox = inbox
    next_message = inbox.next


def leave(flush_seconds: float = 5.0, for_good: bool = False) -> None:
    """Leave the bus: what is buffered is flushed within so many seconds.

    The next call joins the bus of that name again, unless it is left for good.
    """
    global _current, _home, next_message
    member, _current = _current, None
    if for_good:
        _home = None
    next_message = _nothing_loaded
    senders.clear()
    raisers.clear()
    if member is not None:
        member.close(flush_seconds)


def _after_fork() -> None:
    global loading, next_message
    loading = False
    next_message = _nothing_loaded
    senders.clear()
    raisers.clear()
    if _current is not None:
        _current.reset_after_fork()
    _turn.release()


os.register_at_fork(before=_turn.acquire, after_in_parent=_turn.release, after_in_child=_after_fork)
