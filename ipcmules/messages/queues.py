"""A bus's message queues: made, opened, removed.

Knows posix_ipc, the arithmetic of sizing, and where messages are kept that must not go with a queue. What
the user's other buses and programs hold of the limit cannot be asked of the kernel, only tried: so queues are
made at the planned size, and smaller when the kernel refuses.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import replace

import posix_ipc

from ipcmules.bus import log
from ipcmules.bus.config import BusConfig
from ipcmules.bus.description import QueueSpec
from ipcmules.bus.places import Places
from ipcmules.errors import AccessError, LimitError
from ipcmules.kernel.interruption import noted
from ipcmules.messages import frames, kept, large, sizing
from ipcmules.messages.sizing import MINIMAL, Limits, Plan

#: Why a message of an old queue is kept.
_LEFT = "its queue was left by a bus whose description is gone"
#: No message of a spool directory's queue is longer, bytes: a task's name, with the priority it has.
_NAME = 512
#: A refused plan is tried again in this part of its bytes.
_SHRINK = 0.7


def endpoints(config: BusConfig) -> tuple[str, ...]:
    """The endpoints that have a queue: 'pool', 'mule1' ..., 'farm.NAME' ..., 'spool.1' ..."""
    spools = tuple(f"spool.{number}" for number in range(1, len(config.spooled) + 1))
    if not config.mules:
        return spools
    mules = (f"mule{number}" for number in range(1, len(config.mules) + 1))
    return ("pool", *mules, *(f"farm.{each.name}" for each in config.farms), *spools)


def check_fits(config: BusConfig) -> None:
    """Raise LimitError, with need, limit and remedy, if not even the smallest queues fit under the limits."""
    limit = sizing.limits()
    count = len(endpoints(config))
    if not count:
        return
    if count > limit.queues:
        raise _too_many(count, limit)
    if limit.size < sizing.NARROWEST:
        raise LimitError(
            f"message queues need messages of {sizing.NARROWEST} bytes, fs.mqueue.msgsize_max is "
            f"{limit.size}: sysctl -w fs.mqueue.msgsize_max=8192"
        )
    need = MINIMAL.total(len(config.mules), count - len(config.mules))
    if need > limit.bytes:
        raise _too_small(count, need, limit)


def bytes_for(config: BusConfig) -> int:
    """The RLIMIT_MSGQUEUE with which a bus has the widest and deepest queues that the kernel allows, bytes.

    At least Linux's default. Of what a user has the bus takes its share alone (--queue-share).
    """
    private, shared = len(config.mules), len(endpoints(config)) - len(config.mules)
    wanted = math.ceil(sizing.most(private, shared, sizing.limits()) / config.queue_share)
    return max(sizing.DEFAULT, wanted)


def create_all(where: Places, config: BusConfig) -> tuple[QueueSpec, ...]:
    """Make every queue of the bus, as large as limits and the bus's share of them allow.

    Call it with the bus's lock held: a queue of ours that exists already is then a dead bus's, whose
    description is gone. What lies in it is kept (a bus without a name drops it, with a line in the log)
    before it is replaced. Raises LimitError if the kernel refuses even the smallest (nothing is left then),
    AccessError if a name is taken by another user, OSError if what lies in an old queue cannot be kept (it
    stays then).
    """
    names = endpoints(config)
    if not names:
        return ()
    check_fits(config)
    limit = sizing.limits()
    private, shared = len(config.mules), len(names) - len(config.mules)
    smallest = MINIMAL.total(private, shared)
    budget = max(int(limit.bytes * config.queue_share), smallest)
    while True:
        plan = sizing.plan(private, shared, budget, limit) or MINIMAL
        specs = _specs(where, names, plan)
        refusal = _try(where, specs, config.named)
        if refusal is None:
            return specs
        if _is_count_refusal(refusal):
            raise _too_many(len(names), limit) from refusal
        if plan == MINIMAL:
            raise _too_small(len(names), smallest, limit) from refusal
        budget = max(int(min(budget, plan.total(private, shared)) * _SHRINK), smallest)


def _specs(where: Places, names: tuple[str, ...], plan: Plan) -> tuple[QueueSpec, ...]:
    return tuple(_spec(where, name, plan) for name in names)


def _spec(where: Places, name: str, plan: Plan) -> QueueSpec:
    shape = plan.private if name.startswith("mule") else plan.shared
    spec = QueueSpec(name, where.queue(name), shape.depth, shape.size)
    return replace(spec, size=min(spec.size, _NAME)) if spec.is_spool else spec


def _try(where: Places, specs: tuple[QueueSpec, ...], named: bool) -> OSError | None:
    """Make them all, or none: the kernel's refusal is returned, what was made before it removed."""
    made: list[QueueSpec] = []
    try:
        for spec in specs:
            try:
                _create(spec)
            except posix_ipc.ExistentialError:
                _salvage(where, spec, named)
                _create(spec)
            made.append(spec)
    except BaseException as error:
        remove_all(tuple(made))
        # EMFILE (over RLIMIT_MSGQUEUE) and ENOSPC (over queues_max) come as OSErrors without an errno.
        if isinstance(error, OSError) and error.errno is None and not isinstance(error, AccessError):
            return error
        raise
    return None


def _is_count_refusal(error: OSError) -> bool:
    return "space" in str(error)


def _create(spec: QueueSpec) -> None:
    try:
        queue = posix_ipc.MessageQueue(
            spec.name, posix_ipc.O_CREX, mode=0o600, max_messages=spec.depth, max_message_size=spec.size
        )
    except posix_ipc.PermissionsError as error:
        raise AccessError(f"queue {spec.name} belongs to another user: have it removed") from error
    try:
        os.fchmod(queue.mqd, 0o600)  # the mode given goes through the umask
    finally:
        queue.close()


def _salvage(where: Places, spec: QueueSpec, named: bool) -> None:
    """Keep what lies in an old queue, and remove it."""
    queue = open_queue(spec)
    count = 0
    try:
        while True:
            try:
                frame, _ = queue.receive()
            except posix_ipc.BusyError:
                break
            for data in () if spec.is_spool or frame == frames.WAKE else _contents(frame):
                count += 1
                if named:
                    kept.store(where, data, spec.endpoint, _LEFT, patience=0)
    finally:
        queue.close()
    remove_all((spec,))
    if spec.is_spool:
        return
    what = f"kept in {where.kept}" if named else "dropped: the bus has no name to keep them by"
    log.event("warning", f"queue {spec.name} was left by an earlier bus; messages in it: {count}, {what}")


def _contents(frame: bytes) -> Iterator[bytes]:
    """The messages of a frame. A large one is removed when the next is asked for: it is kept then."""
    try:
        parts = frames.unpack(frame)
        if not frames.is_large(frame):
            yield from parts
            return
        data = large.peek(parts[0])
    except (frames.FrameError, AccessError, FileNotFoundError, ValueError):
        yield frame  # the reference at least says what is gone
        return
    yield data
    large.discard(parts[0])


def remove_all(specs: tuple[QueueSpec, ...]) -> None:
    """Unlink the queues; those that are gone already are no error."""
    for spec in specs:
        try:
            posix_ipc.unlink_message_queue(spec.name)
        except posix_ipc.ExistentialError:
            pass


def open_queue(spec: QueueSpec) -> posix_ipc.MessageQueue:
    """A non-blocking descriptor of this process's own.

    Opened by name, as O_NONBLOCK belongs to the open file description, which a fork shares.
    Raises posix_ipc.ExistentialError if there is none, AccessError if it is not ours or open to others.
    """
    opened: list[posix_ipc.MessageQueue] = []
    try:
        queue = noted(opened, posix_ipc.MessageQueue, spec.name, 0)
        found = os.fstat(queue.mqd)
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise AccessError(
                f"queue {spec.name} belongs to uid {found.st_uid}, mode {found.st_mode & 0o777:04o}, this "
                f"process is uid {os.geteuid()}: stop that bus, remove the queue and start again"
            )
        queue.block = False
        return queue
    except posix_ipc.PermissionsError as error:
        raise AccessError(
            f"queue {spec.name} belongs to another user, this process is uid {os.geteuid()}"
        ) from error
    except BaseException:
        for each in opened:
            each.close()
        raise


def _too_many(count: int, limit: Limits) -> LimitError:
    wanted = 2 * max(limit.queues, count)
    return LimitError(
        f"this bus needs {count} message queues; fs.mqueue.queues_max allows {limit.queues} on this system, "
        f"other buses' included: stop another bus, or sysctl -w fs.mqueue.queues_max={wanted}"
    )


def _too_small(count: int, need: int, limit: Limits) -> LimitError:
    wanted = max(need * 4, 2 * min(limit.bytes, 1 << 40))
    return LimitError(
        f"the {count} message queues of this bus need at least {need} bytes; RLIMIT_MSGQUEUE allows this "
        f"user {limit.bytes} over all of its queues (other buses' included): stop another bus, or ulimit -q "
        f"{wanted} (systemd: LimitMSGQUEUE={wanted}; docker: --ulimit msgqueue={wanted})"
    )
