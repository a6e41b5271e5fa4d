"""This process's sending side: an outbox a target, and the end of a bus.

Knows the description, the table and the directory of lanes. What a send has accepted is in the kernel's queue
or in a lane behind it: nothing waits in this process.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Sequence

import posix_ipc

from ipcmules.bus import description as descriptions
from ipcmules.bus import liveness, log
from ipcmules.bus import table as tables
from ipcmules.bus.description import Description, QueueSpec
from ipcmules.bus.places import Places
from ipcmules.bus.table import (
    ABSENT,
    H_GENERATION,
    H_STATE,
    H_STORING,
    LOADING,
    R_READER,
    R_STATE,
    R_URGENT,
    READS_SHARED,
    STOPPED,
    Table,
)
from ipcmules.errors import BusStopped, IpcMulesError, UnknownTarget
from ipcmules.kernel import exhaustion, unpatched
from ipcmules.kernel.notify import tell_master
from ipcmules.messages import kept, queues
from ipcmules.messages.lanes import directory as lanes
from ipcmules.messages.lanes.directory import Directory
from ipcmules.messages.lanes.writer import Bounds, Lane
from ipcmules.messages.send.outbox import Outbox, PrivateOutbox, SharedOutbox
from ipcmules.messages.send.outlet import Outlet
from ipcmules.messages.send.standstill import Sender, Standstill, readers_of

#: How long to wait for a queue of the next bus, and for a master that saves what its bus left, in seconds.
_STUCK, _SAVING = 5.0, 60.0


class Post:
    """Outboxes by endpoint. One a membership."""

    def __init__(
        self, where: Places, description: Description, table: Table, sender: Sender | None = None
    ) -> None:
        """sender: this process, where others see what it waits for."""
        self.where = where
        self._table = table
        self._sender = sender or Sender(table, description, lambda: 0, lambda: False)
        self._description = description
        self.cells = table.cells
        self._generation = description.generation
        self._outboxes: dict[str, Outbox] = {}
        self._lock = unpatched.RLock()
        self._directory: Directory | None = None
        #: True once the bus was found to be over: nothing is accepted any more.
        self.ended = False
        self._readers = {
            each.endpoint: self._records(table, each.endpoint)
            for each in description.queues
            if each.shared and not each.is_spool
        }
        self._urgent = {
            f"mule{number}": table.mule(number) + R_URGENT
            for number in range(1, len(description.config.mules) + 1)
        }
        _register(self)

    def _records(self, table: Table, endpoint: str) -> list[int]:
        """First cells of the records of the mules that could read a shared queue."""
        config = self._description.config
        numbers: Sequence[int] = range(1, len(config.mules) + 1)
        if endpoint != "pool":
            numbers = next(each.mules for each in config.farms if f"farm.{each.name}" == endpoint)
        return [table.mule(number) for number in numbers]

    def outbox(self, endpoint: str) -> Outbox:
        """The outbox of an endpoint: 'pool', 'mule3', 'farm.mail'. Raises UnknownTarget if there is none."""
        found = self._outboxes.get(endpoint)
        if found is not None:
            return found
        with self._lock:
            spec = self._description.queue(endpoint)
            if spec is None:
                known = ", ".join(each.endpoint for each in self._description.queues) or "no queues at all"
                raise UnknownTarget(f"bus {self.where.bus!r} has no queue {endpoint!r}; it has {known}")
            return self._outboxes.setdefault(endpoint, self._make(spec))

    def _make(self, spec: QueueSpec) -> Outbox:
        config = self._description.config
        if self._directory is None:
            try:
                found = Directory(self.where)
            except (posix_ipc.ExistentialError, lanes.HalfMade):
                found = None
            except OSError as error:
                if not exhaustion.refused(error):
                    raise
                raise exhaustion.explain(error, f"the lanes of {spec.endpoint} cannot be opened") from error
            if found is None or found.generation != self._generation:
                self.ended = True
                raise self.stopped()
            self._directory = found
        bounds = Bounds(config.queue_messages, config.queue_bytes)
        kind = SharedOutbox if spec.shared else PrivateOutbox
        number = lanes.number_of(config, spec.endpoint)
        return kind(self, spec, self._directory, number, bounds, self._generation)

    def after_fork(self) -> None:
        """In a forked child: lanes and descriptors are the parent's, and locks are made anew."""
        self._lock = unpatched.RLock()
        for each in self._outboxes.values():
            each.forget()

    def finish(self) -> None:
        """This process ends: give up the lanes. What is in them is received all the same."""
        for each in list(self._outboxes.values()):
            each.leave()

    def close(self) -> None:
        """Give up the lanes and close every queue."""
        for each in self._outboxes.values():
            each.close()
        _posts.discard(self)

    # For the outboxes

    def open(self, spec: QueueSpec) -> posix_ipc.MessageQueue:
        """Open a queue. Raises BusStopped if it is gone, as the bus then is."""
        try:
            queue = queues.open_queue(spec)
        except posix_ipc.ExistentialError:
            self.ended = True
            raise self.stopped() from None
        except OSError as error:
            if not exhaustion.refused(error):
                raise
            raise exhaustion.explain(error, f"the queue of {spec.endpoint} cannot be opened") from error
        try:
            if self.over():  # it may be the successor's, whose messages have another size
                self.ended = True
                raise self.stopped()
            return queue
        except BaseException:
            queue.close()
            raise

    def over(self) -> bool:
        """True if the bus has stopped. Asked after each message went into the kernel."""
        cells = self.cells
        return cells[H_STATE] == STOPPED or cells[H_GENERATION] != self._generation

    def has_reader(self, endpoint: str) -> bool:
        """False if every mule that could read a shared queue is up and says that it does not."""
        cells = self.cells
        for record in self._readers[endpoint]:
            if cells[record + R_READER] & READS_SHARED or cells[record + R_STATE] in (ABSENT, LOADING):
                return True
        return False

    def urgent(self, endpoint: str) -> None:
        """Say to a mule that something with a priority went into its queue: it looks between two messages."""
        record = self._urgent.get(endpoint)
        if record is not None:
            self.cells[record] = 1

    def waits(self, endpoint: str, timeout: float | None) -> Standstill:
        """A send to that endpoint waits for room."""
        readers = self._readers.get(endpoint)
        return Standstill(
            self._sender, endpoint, readers_of(self._table, endpoint) if readers is None else readers, timeout
        )

    def stores(self) -> None:
        """A large message is about to be written: the master sees what is left of it if this process dies."""
        if not self.cells[H_STORING]:
            self.cells[H_STORING] = 1
            tell_master(self.where.notify)

    def check_alive(self) -> None:
        """For a sender that waits: raise BusStopped if nobody is left to make room."""
        if self.over() or not self._description.master.alive():
            self.ended = True
            raise self.stopped()

    def stopped(self) -> BusStopped:
        """The error for a bus that is over."""
        return BusStopped(
            f"bus {self.where.bus!r} has stopped: the message was not accepted; send it again when it is back"
        )

    def keep(self, messages: Sequence[bytes], endpoint: str, reason: str) -> None:
        """Keep messages in the state directory, with a line in the log."""
        for data in messages:
            kept.keep(self.where, data, endpoint, reason)

    def end(self, outbox: Outlet) -> None:
        """The bus stopped before a message of ours went into its queue: who finds messages there saves them.

        They go to the next bus of that name if it is there already, else to the state directory.
        Raises BusStopped for a bus without a name, which keeps nothing.
        """
        self.ended = True
        if not self._description.config.named:
            for _frame in outbox.leftovers():
                pass
            raise self.stopped()
        saved: list[bytes] = []
        for messages in outbox.leftovers():
            # Each frame before the next one is taken: this process may be killed here too.
            left = self._pass_on(messages, outbox.endpoint)
            try:
                self._save([(data, 0) for data in left], outbox.endpoint, "the bus had stopped")
            except OSError as error:
                raise BusStopped(
                    f"bus {self.where.bus!r} has stopped, and {len(left)} messages to {outbox.endpoint} can "
                    f"be kept neither in {self.where.kept} nor in shared memory: {error.strerror or error}"
                ) from error
            saved += left
        if saved:
            log.event(
                "warning",
                f"bus {self.where.bus!r} had stopped: {len(saved)} messages to {outbox.endpoint}, "
                f"{sum(map(len, saved))} bytes, saved in {self.where.kept}, to be queued again",
            )

    def _pass_on(self, messages: list[bytes], endpoint: str) -> list[bytes]:
        """Send messages to the bus that has taken this one's place, if there is one; what it did not take."""
        try:
            found = descriptions.read(self.where)
            if found is None or not found.complete or found.generation == self._generation:
                return messages
            if found.queue(endpoint) is None or not liveness.is_alive(self.where):
                return messages
            shared = tables.open(self.where.table)
        except (posix_ipc.Error, OSError):
            return messages  # missing, half made, of another version, or there is no descriptor to see it by
        if shared.cells[H_GENERATION] != found.generation:
            return messages
        heir = Post(self.where, found, shared)
        try:
            outbox = heir.outbox(endpoint)
            while messages and outbox.send(messages[0], _STUCK):
                messages = messages[1:]
        except (IpcMulesError, OSError, posix_ipc.Error):
            pass  # it stopped in its turn, or has no room
        finally:
            heir.close()
        return messages

    def end_in_lane(self, outbox: Outbox, lane: Lane, position: int) -> bool:
        """The bus is over, and a message of ours stands at a position of a lane: True once it is safe.

        Who ends the bus says how much of the lane he has saved: what comes after that is ours to keep. Where
        nobody does that, as the master was killed, the next start finds it. Raises BusStopped for a bus
        without a name, which keeps nothing.
        """
        self.ended = True
        lane.rest()
        if not self._description.config.named:
            raise self.stopped()
        deadline = time.monotonic() + _SAVING
        while not (saved := lane.saved()):
            if time.monotonic() > deadline or not liveness.is_alive(self.where):
                return True
            time.sleep(0.002)
        if position >= saved:
            try:
                data, priority = lane.record(position)
            except FileNotFoundError:  # a large one, which the end of the bus has removed
                raise self.stopped() from None
            left = self._pass_on([data], outbox.endpoint)
            self._save([(each, priority) for each in left], outbox.endpoint, "the bus had stopped")
        return True

    def _save(self, messages: Sequence[tuple[bytes, int]], endpoint: str, reason: str) -> None:
        """Save what was accepted: the master that runs queues it as there is room, else the next one does."""
        if not messages:
            return
        for data, priority in messages:
            kept.store(self.where, data, endpoint, reason, priority=priority, again=True)
        tell_master(self.where.notify)


_posts: weakref.WeakSet[Post] = weakref.WeakSet()
#: Whether there ever was one, in this process or one that it was forked from.
_any = False
_registered = False


def _register(post: Post) -> None:
    """Have the post give up its lanes when the interpreter ends; a forked child inherits that."""
    global _any, _registered
    _any = True
    _posts.add(post)
    if _registered:
        return
    _registered = True
    # atexit does not run in multiprocessing's forked children; this hook of threading does, everywhere, but
    # before threads that are not daemons have ended. So both: such threads may take lanes again.
    atexit.register(finish_all)
    try:
        threading._register_atexit(finish_all)  # type: ignore[attr-defined] # no public name
    except (AttributeError, RuntimeError):
        pass


def _after_fork() -> None:
    """In a forked child, however it was forked: nothing of a post is this process's."""
    if not _any:
        return  # to go through a set costs memory of its own in each of many idle mules
    for post in list(_posts):
        post.after_fork()


os.register_at_fork(after_in_child=_after_fork)


def finish_all() -> None:
    """Give up the lanes of every post of this process, which ends."""
    for post in list(_posts):
        post.finish()
