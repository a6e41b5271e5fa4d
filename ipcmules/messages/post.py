"""This process's sending side: an outbox a target, the thread that flushes them, and the end of a bus.

Knows the description and the table. What a process has buffered for private targets leaves with its next
send, by the flusher thread within a millisecond or two, at flush(), or when the process ends (not when it is
killed, or ends by os._exit). For shared targets nothing is buffered.
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Sequence

import posix_ipc

from ipcmules import description as descriptions
from ipcmules import liveness, log
from ipcmules import table as tables
from ipcmules.description import Description, QueueSpec
from ipcmules.errors import BusStopped, UnknownTarget
from ipcmules.messages import kept, large, queues
from ipcmules.messages.direct import DirectOutbox
from ipcmules.messages.flusher import Flusher
from ipcmules.messages.outbox import Outbox
from ipcmules.messages.outlet import Outlet
from ipcmules.notify import tell_master
from ipcmules.places import Places
from ipcmules.table import (
    ABSENT,
    H_GENERATION,
    H_STATE,
    LOADING,
    R_READER,
    R_STATE,
    R_URGENT,
    READS_SHARED,
    STOPPED,
    Table,
)

#: How long an ending process waits for a queue that takes nothing at all, in seconds.
_STUCK = 5.0
_FULL = "its queue was full when the sender ended"


class Post:
    """Outboxes by endpoint. One a membership."""

    def __init__(self, where: Places, description: Description, table: Table) -> None:
        self.where = where
        self._description = description
        self._cells = table.cells
        self._generation = description.generation
        self._outboxes: dict[str, Outbox | DirectOutbox] = {}
        self._lock = threading.RLock()
        self._flusher = Flusher()
        #: True once the bus was found to be over: nothing is accepted any more.
        self.ended = False
        #: True once the interpreter shuts down: every send goes to the kernel before it returns.
        self.exiting = _shut_down
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

    def outbox(self, endpoint: str) -> Outbox | DirectOutbox:
        """The outbox of an endpoint: 'pool', 'mule3', 'farm.mail'. Raises UnknownTarget if there is none."""
        found = self._outboxes.get(endpoint)
        if found is not None:
            return found
        with self._lock:
            spec = self._description.queue(endpoint)
            if spec is None:
                known = ", ".join(each.endpoint for each in self._description.queues) or "no queues at all"
                raise UnknownTarget(f"bus {self.where.bus!r} has no queue {endpoint!r}; it has {known}")
            made = DirectOutbox(self, spec) if spec.shared else Outbox(self, spec)
            return self._outboxes.setdefault(endpoint, made)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything sent is in the kernel. timeout in seconds; False if it was over first."""
        deadline = None if timeout is None else time.monotonic() + timeout
        everything = True
        for each in list(self._outboxes.values()):
            # Each one, whatever came of those before it: they share the deadline, not their luck.
            everything = each.flush(deadline) and everything
        return everything

    def after_fork(self) -> None:
        """In a forked child: what is pending is the parent's; descriptors, locks and thread are made anew."""
        self._lock = threading.RLock()
        self._flusher = Flusher()
        for each in self._outboxes.values():
            each.forget()

    def close(self) -> None:
        """Close every queue. What is still pending is kept (see finish); call flush() before."""
        self.finish(0.0)
        self._flusher.stop()
        for each in self._outboxes.values():
            each.close()
        _posts.discard(self)
        large.release()

    # For the outboxes

    def open(self, spec: QueueSpec) -> posix_ipc.MessageQueue:
        """Open a queue. Raises BusStopped if it is gone, as the bus then is."""
        try:
            return queues.open_queue(spec)
        except posix_ipc.ExistentialError:
            self.ended = True
            raise self.stopped() from None

    def flush_later(self, outbox: Outbox) -> bool:
        """Have the flusher look after an outbox. False if there can be no thread any more."""
        return not self.exiting and self._flusher.add(outbox)

    def over(self) -> bool:
        """True if the bus has stopped. Asked after each message went into the kernel."""
        cells = self._cells
        return cells[H_STATE] == STOPPED or cells[H_GENERATION] != self._generation

    def has_reader(self, endpoint: str) -> bool:
        """False if every mule that could read a shared queue is up and says that it does not."""
        cells = self._cells
        for record in self._readers[endpoint]:
            if cells[record + R_READER] & READS_SHARED or cells[record + R_STATE] in (ABSENT, LOADING):
                return True
        return False

    def urgent(self, endpoint: str) -> None:
        """Say to a mule that something with a priority went into its queue: it looks between two messages."""
        record = self._urgent.get(endpoint)
        if record is not None:
            self._cells[record] = 1

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
        found = outbox.leftovers()
        if not self._description.config.named:
            raise self.stopped()
        found = self._pass_on(found, outbox.endpoint)
        if found:
            self._save([(data, 0) for data in found], outbox.endpoint, "the bus had stopped")
            log.event(
                "warning",
                f"bus {self.where.bus!r} had stopped: {len(found)} messages to {outbox.endpoint}, "
                f"{sum(map(len, found))} bytes, saved in {self.where.kept}, to be queued again",
            )

    def _pass_on(self, messages: list[bytes], endpoint: str) -> list[bytes]:
        """Send messages to the bus that has taken this one's place, if there is one; what it did not take."""
        found = descriptions.read(self.where)
        if found is None or not found.complete or found.generation == self._generation:
            return messages
        if found.queue(endpoint) is None or not liveness.is_alive(self.where):
            return messages
        heir = Post(self.where, found, tables.open(self.where.table))
        try:
            outbox = heir.outbox(endpoint)
            while messages and outbox.send(messages[0], _STUCK):
                messages = messages[1:]
            heir.flush(_STUCK)
        except (BusStopped, posix_ipc.ExistentialError):
            pass  # it stopped in its turn
        finally:
            heir.close()
        return messages

    # The end of the process

    def finish(self, stuck: float = _STUCK) -> None:
        """Flush, waiting as long as messages leave at least every `stuck` seconds; keep what is left."""
        for outbox in list(self._outboxes.values()):
            pending = outbox.pending
            while pending and not self.ended:
                try:
                    outbox.flush(time.monotonic() + stuck)
                except BusStopped:
                    break
                if outbox.pending >= pending:
                    break
                pending = outbox.pending
            if outbox.pending:
                self._give_up(outbox)

    def _give_up(self, outbox: Outbox | DirectOutbox) -> None:
        messages = outbox.take_pending()
        size = sum(len(data) for data, _ in messages)
        what = f"{len(messages)} messages to {outbox.endpoint} ({size} bytes) did not get into its queue"
        if not self._description.config.named:
            log.event(
                "error",
                f"{what} before this process ended, and bus {self.where.bus!r} has no name to keep them by",
            )
            return
        if self.over():
            rest = self._pass_on([data for data, _ in messages], outbox.endpoint)
            messages = messages[len(messages) - len(rest) :]
        if not messages:
            return
        self._save(messages, outbox.endpoint, _FULL)
        log.event("warning", f"{what} before this process ended: saved, to be queued again")

    def _save(self, messages: Sequence[tuple[bytes, int]], endpoint: str, reason: str) -> None:
        """Save what was accepted: the master that runs queues it as there is room, else the next one does."""
        for data, priority in messages:
            kept.store(self.where, data, endpoint, reason, priority=priority, again=True)
        tell_master(self.where.notify)


_posts: weakref.WeakSet[Post] = weakref.WeakSet()
_registered = False
_shut_down = False


def _register(post: Post) -> None:
    """Have the post flushed when the interpreter ends; a forked child inherits that."""
    global _registered
    _posts.add(post)
    if _registered:
        return
    _registered = True
    # atexit does not run in multiprocessing's forked children; this hook of threading does, everywhere, but
    # before threads that are not daemons have ended. So both: what such threads send goes straight out.
    atexit.register(finish_all)
    try:
        threading._register_atexit(finish_all)  # type: ignore[attr-defined] # no public name
    except (AttributeError, RuntimeError):
        pass


def finish_all() -> None:
    """Flush every post of this process for good; from then on each send is in the kernel when it returns."""
    global _shut_down
    _shut_down = True
    for post in list(_posts):
        post.exiting = True
        post.finish()
    large.release()
