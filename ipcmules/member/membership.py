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
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ipcmules.bus import table
from ipcmules.bus.places import BUS_VARIABLE, Places, places
from ipcmules.errors import AccessError, BusRunning, BusStopped, FormatError, NotAttached
from ipcmules.kernel import unpatched
from ipcmules.kernel.undisturbed import undisturbed
from ipcmules.signals.registry import Registry

if TYPE_CHECKING:
    from ipcmules.bus.description import Description
    from ipcmules.locks.locks import Locks
    from ipcmules.messages.receive.handout import Handout
    from ipcmules.messages.receive.inbox import Inbox
    from ipcmules.messages.send.post import Post
    from ipcmules.signals.raiser import Raiser
    from ipcmules.spooler.wake import Spools

#: Roles in which a forked child stays an attached process of its own.
_ATTACHED = "attached"
#: A bus whose master lives and that cannot be joined yet is being made: waited for so long at most, and
#: looked at so often, seconds.
_HALF_MADE, _LOOK = 30.0, 0.01
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
                with undisturbed:
                    from ipcmules.messages.send.post import Post
                    from ipcmules.messages.send.standstill import Sender

                if self._post is None:
                    sender = Sender(self.table, self.description, self._record, self._receives_alone)
                    self._post = Post(self.where, self.description, self.table, sender)
        return self._post

    def _record(self) -> int:
        """Where this process writes what it does in the table; 0 if nowhere."""
        if self.role in ("mule", "spooler"):
            return self.table.record(self.role, self.number)
        return self.table.worker(self.worker) if self.worker else 0

    def _receives_alone(self) -> bool:
        """True if the calling thread receives here, and no other one does."""
        return self.inbox is not None and self.inbox.received_by() == {unpatched.get_ident()}

    @property
    def raiser(self) -> Raiser:
        """The raising side of signals."""
        if self._raiser is None:
            with _turn:
                with undisturbed:
                    from ipcmules.signals.raiser import Raiser

                if self._raiser is None:
                    self._raiser = Raiser(self.where, self.description, self.table)
        return self._raiser

    @property
    def locks(self) -> Locks:
        """The bus's locks."""
        if self._locks is None:
            with _turn:
                with undisturbed:
                    from ipcmules.locks.locks import Locks

                if self._locks is None:
                    self._locks = Locks(self.description.semaphores)
        return self._locks

    @property
    def spools(self) -> Spools:
        """The bus's spool directories."""
        if self._spools is None:
            with _turn:
                with undisturbed:
                    from ipcmules.spooler.wake import Spools

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

    def close(self) -> None:
        """Close what is open, and free the locks that are still held."""
        if self._post is not None:
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
        if self.inbox is not None:
            self.inbox.after_fork()
            self.inbox = None
        if self._raiser is not None:
            self._raiser.after_fork()
        if self._spools is not None:
            self._spools.after_fork()
        if self._locks is not None:
            self._locks.after_fork()


#: The registrations of this process; they exist before there is a bus and are published at joining.
registry = Registry()

#: What to call for a message, by the second argument of mule_msg; filled and read by ipcmules.api.messages.
senders: dict[Any, Callable[..., bool]] = {}

#: What to call to raise a signal, by its number in this process; filled and read by ipcmules.api.messages.
raisers: dict[int, Callable[[], None]] = {}
registry.on_change = raisers.clear


class NothingReady:
    """Stands where a mule has its Handout: there is nothing that is loaded already."""

    loaded: Sequence[Any] = ()
    hands: Mapping[int, Any] = MappingProxyType({})
    pairs: Iterable[tuple[int, bytes]] = ()

    def next_record(self, hand: Any) -> bytes | None:
        """None."""
        return None


#: The next message this mule's inbox has loaded already; None: ask the inbox. For api.messages.
ready: Handout | NothingReady = NothingReady()

#: What messages begin with that carry a call of a @mulefunc function, and are for its hook alone
#: (process.hooks, which fills it). Empty until this process has one: asking costs a tenth of receiving.
carried = b""

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
_turn = unpatched.RLock()


def _is_alive(where: Places) -> bool:
    with undisturbed:
        from ipcmules.bus import liveness

    return liveness.is_alive(where)


def peek() -> Membership | None:
    """The membership this process has already, without looking for a bus."""
    return _current


def find() -> Membership | None:
    """The membership of this process, joining the bus it belongs to; None if there is none.

    That of a bus that has ended, while there is no other of its name; a mule of it stays what it is.
    """
    if _current is not None and (_current.role != _ATTACHED or not _current.ended()):
        return _current
    where = _search()
    if where is None or not _is_alive(where):
        return _current
    try:
        return join(where, _ATTACHED)
    except NotAttached:  # it is just being made, or removed
        return _current


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
    if _home is not None:
        return _home
    name = os.environ.get(BUS_VARIABLE)
    if name:
        return places(name)
    with undisturbed:
        from ipcmules.member import lookup

    return lookup.ancestral_bus()


def join(where: Places, role: str, number: int = 0) -> Membership:
    """Join a bus.

    Raises NotAttached if it is not running, BusRunning if this process is on another one, FormatError if
    another version of ipcmules runs it.
    """
    with _turn:
        return _join(where, role, number)


def _join(where: Places, role: str, number: int) -> Membership:
    global _current, _home
    if unpatched.is_eventlet():
        raise NotAttached(
            "this process cannot join a bus: eventlet.monkey_patch() has replaced the system's reads, polls "
            "and locks, ours too; use gevent (gunicorn -k gevent), or threads"
        )
    with undisturbed:
        from ipcmules.bus import description as descriptions  # with config 8 ms: only who joins needs them
        from ipcmules.member import lookup

    # After that, at the end of which a signal handler may run that joins.
    if _current is not None:
        if _current.where != where:
            raise BusRunning(
                f"this process is on bus {_current.where.bus!r} already, and a process has one membership: "
                f"stop or leave it before joining {where.bus!r}"
            )
        if not _current.ended():
            return _current
        leave()  # the bus of this name is another one by now, or none
    found = descriptions.load(where)
    if found is None or not found.complete or not _is_alive(where):
        raise NotAttached(
            f"bus {where.bus!r} is not running (looked in {where.runtime}): start it with "
            f"`ipcmules run --bus {where.bus}`"
        )
    shared = lookup.table_of(where, found)
    member = _current = Membership(where, found, shared, role, number)
    _home = where
    try:
        registry.publish(where, shared)
        for hook in on_join:
            hook(member)
    except BaseException as error:
        with undisturbed:
            from ipcmules.kernel.interruption import raised_here  # rare, so not part of every import

        if not raised_here(error):  # a signal handler of the program: the next call joins as a whole
            leave()
        raise
    return member


def rejoin(where: Places, timeout: float | None) -> Membership:
    """Join the successor of a bus that has ended, waiting up to timeout seconds while it is being made.

    Raises BusStopped, with the reason, if there is none, or none that this process can join.
    """
    began = time.monotonic()
    patience = _HALF_MADE if timeout is None else min(timeout, _HALF_MADE)
    while True:
        try:
            return join(where, _ATTACHED)
        except (FormatError, AccessError) as error:
            text = f"bus {where.bus!r} has stopped, and what follows it cannot be joined: {error}"
            raise BusStopped(text) from error
        except NotAttached as error:
            if time.monotonic() - began >= patience or not _is_alive(where):
                raise BusStopped(f"bus {where.bus!r} has stopped") from error
        unpatched.sleep(_LOOK)


def become(role: str, number: int) -> Membership:
    """In a process forked from the template: take the role and number the master gave it."""
    member = current()
    member.role, member.number = role, number
    senders.clear()
    raisers.clear()
    return member


def receive_with(member: Membership, inbox: Inbox) -> None:
    """In a mule: this is where it receives from now on."""
    global ready
    member.inbox = inbox
    ready = inbox.ready or NothingReady()


def leave(for_good: bool = False) -> None:
    """Leave the bus.

    The next call joins the bus of that name again, unless it is left for good.
    """
    global _current, _home, ready
    member, _current = _current, None
    try:
        if for_good:
            _home = None
        ready = NothingReady()
        senders.clear()
        raisers.clear()
        registry.withdraw()
        if member is not None:
            member.close()
    except BaseException:  # a signal handler of the program: nobody else closes it
        if member is not None:
            member.close()
        raise


def _after_fork() -> None:
    global loading, ready
    loading = False
    ready = NothingReady()
    senders.clear()
    raisers.clear()
    if _current is not None:
        _current.reset_after_fork()
    _turn.release()


os.register_at_fork(before=_turn.acquire, after_in_parent=_turn.release, after_in_child=_after_fork)
