"""What a process has left in its mule's in-flight slots: what it had in hand, and what it was not handed.

Knows the slots, the lanes that what is there may have come from, and large messages; not what becomes of it.
Called after a death, and by whoever ends a bus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from ipcmules.bus import description as descriptions
from ipcmules.bus import log
from ipcmules.bus.places import Places
from ipcmules.cluster import letters
from ipcmules.errors import IpcMulesError
from ipcmules.messages import frames, large
from ipcmules.messages.lanes import claims, private
from ipcmules.messages.lanes.cells import CLAIM, FROM_LANE, OWN, SAVING, record_of, source_of
from ipcmules.messages.lanes.directory import Directory
from ipcmules.messages.slots import F_PRIORITY, F_REMAINING, REFS, Slots


@dataclass(frozen=True)
class Left:
    """A message that a dead mule had in hand."""

    data: bytes
    endpoint: str  #: the queue it came from: 'mule3', 'pool', 'farm.mail'
    attempts: int = 0  #: how many processes had died with it before
    saving: bool = False  #: it was in no mule's hand, but in those of a master that saved its queue
    priority: int = 0  #: of one that was being saved


def recover(
    where: Places,
    number: int,
    put_away: Callable[[Left], object] | None = None,
    done: set[int] | None = None,
) -> list[Left]:
    """After a mule's death: what it had in hand, whole; it is not in hand any more.

    put_away(left) is called for each before it is forgotten: whoever is killed in between finds it again.
    Where it raises, all stays in hand; done says which were put away, and is to be given again.
    What the mule had not handed out of its frames stays for the successor, or for rest(). Large messages
    are loaded, and removed.
    """
    slots = Slots(where, number)
    try:
        saving = _is_saving(slots.cells[REFS])
        records, claimed = _records(where, slots)
        # Each by a number that it has the next time too: of what is in hand its place, of a claim its cell.
        hands = [*enumerate(slots.in_hand()), *claimed]
        done = set() if done is None else done
        found = []
        for index, hand in hands:
            left = _left(where, number, *hand)
            if left is None:
                continue
            if saving and not index:  # the first thread's cell
                left = replace(left, saving=True, priority=slots.cells[slots.header(0) + F_PRIORITY])
            found.append(left)
            if put_away is not None and index not in done:
                put_away(left)
                done.add(index)
        for ref in records:
            claims.mark_done(Directory(where), source_of(ref), record_of(ref))
        slots.forget_hands()
        done.clear()
        for _index, (data, reference, _source) in hands:
            if reference:
                large.discard(data)
        return found
    finally:
        slots.close()


def _is_saving(ref: int) -> bool:
    """True if a cell says that a master that saves a queue has its message."""
    return bool(ref & OWN and ref & SAVING and not ref & FROM_LANE)


def _name(ref: int) -> tuple[int, tuple[int, int, int]] | None:
    """The record of a lane that a cell names: source, and as record_of() gives it; None: it names none."""
    if ref & CLAIM or (ref & OWN and ref & FROM_LANE):
        return source_of(ref), record_of(ref)
    return None


def _records(where: Places, slots: Slots) -> tuple[list[int], list[tuple[int, tuple[bytes, bool, int]]]]:
    """The cells that name records of lanes that are this mule's, and what it had only claimed of them.

    The latter with their cells. Two threads of it may have been about to claim one record, and a third may
    have just got it in hand: it is there once.
    """
    records = [ref for ref in slots.refs() if not ref & CLAIM and _name(ref) is not None]
    names, claimed = {_name(ref) for ref in records}, []
    for ref in slots.refs():
        name = _name(ref)
        if not ref & CLAIM or name in names:
            continue
        names.add(name)
        others = partial(_named_by_others, where, slots.number, name)
        taken = claims.orphan(Directory(where), source_of(ref), record_of(ref), others)
        if taken is not None:
            claimed.append((ref, (*taken, source_of(ref))))
            records.append(ref)
    return records, claimed


def _named_by_others(where: Places, number: int, name: tuple[int, tuple[int, int, int]] | None) -> bool:
    """True if a thread of another mule names the same record, be it that it claims it or has it in hand."""
    for other in range(1, Directory(where).layout.mules + 1):
        if other != number:
            slots = Slots(where, other)
            try:
                if any(_name(ref) == name for ref in slots.refs()):
                    return True
            finally:
                slots.close()
    return False


def _left(where: Places, number: int, data: bytes, reference: bool, source: int) -> Left | None:
    endpoint = endpoint_of(where, number, source)
    if not reference:
        return Left(data, endpoint)
    try:
        return Left(large.peek(data), endpoint, large.attempts_of(data))
    except (OSError, IpcMulesError):
        return None  # killed after it was done and removed, before the cell said so


def endpoint_of(where: Places, number: int, source: int) -> str:
    """The endpoint with the number that a thread's cell holds: 0 its own, 1 the pool, then the farms."""
    if source == 0:
        return f"mule{number}"
    if source == 1:
        return "pool"
    found = descriptions.read(where)
    farms = found.config.farms if found is not None else ()
    return f"farm.{farms[source - 2].name}" if source - 2 < len(farms) else "farm"


def settle_lanes(where: Places, slots: Slots) -> None:
    """What the slots have of a mule's lanes is taken from those, if who stored it was killed before."""
    heads = slots.heads()
    if heads:
        private.settle(Directory(where), slots.number, heads)


def rest(where: Places, number: int) -> Iterator[tuple[bytes, int, int]]:
    """What a mule without a successor was not handed out, in order: message, priority, attempts (see Left).

    Each is forgotten when the next one is asked for: whoever is killed while he saves it finds it again.
    What cannot be read is logged.
    """
    slots = Slots(where, number)
    try:
        settle_lanes(where, slots)
        for each in slots.rests():
            reference = each.frame[frames.OVERHEAD :] if frames.is_large(each.frame) else b""
            try:
                messages = each.messages()
                attempts = large.attempts_of(reference) if reference else 0
            except (frames.FrameError, OSError, ValueError) as error:
                log.event("error", f"a frame of {len(each.frame)} bytes could not be read: {error}")
                continue
            for after, data in zip(range(len(messages) - 1, -1, -1), messages, strict=True):
                yield data, each.priority, attempts
                slots.cells[slots.header(each.area) + F_REMAINING] = after
            if reference:
                large.discard(reference)
        slots.forget()
    finally:
        slots.close()


def put(where: Places, number: int, frame: bytes, priority: int) -> None:
    """Store a frame for rest(), where nothing is in hand or left of others.

    Raises LimitError if there is no memory for it.
    """
    slots = Slots(where, number)
    try:
        slots.reserve_for_saving(len(frame))
        slots.put(frame, priority)
    finally:
        slots.close()


def _acknowledge(where: Places, data: bytes, reference: bool) -> None:
    """Where what was in hand is a letter of the cluster: say that it is done."""
    try:
        letter = letters.opened(where, large.peek(data) if reference else data)
        if letter is not None:
            from ipcmules.cluster import outbox

            outbox.done(where, letter.token)
    except (OSError, ValueError) as error:
        log.event("error", f"nobody could be told that a message is done ({error}): it may come again")


def clear(where: Places, number: int) -> None:
    """After a mule that ended by itself: what it had in hand is done; what it was not handed stays."""
    slots = Slots(where, number)
    try:
        for data, reference, _ in slots.in_hand():
            _acknowledge(where, data, reference)
            if reference:
                large.discard(data)
        for ref in slots.refs():
            if ref & OWN and ref & FROM_LANE:
                claims.mark_done(Directory(where), source_of(ref), record_of(ref))
        slots.forget_hands(but=CLAIM)
    finally:
        slots.close()
