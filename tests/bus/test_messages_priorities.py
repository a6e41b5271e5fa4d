"""Priorities beside lanes: a more urgent message overtakes, and of one priority none overtakes another."""

from __future__ import annotations

import time

from messagebus import MessageBus, message_bus, no_signal
from support import wait_until


def _fill(bus: MessageBus, prefix: str, priority: int, behind: int) -> list[bytes]:
    """Send until the queue of mule 1 is full, and so many more, which go to a lane."""
    send, sent = bus.post().outbox("mule1").send, []
    while len(sent) < bus.queued("mule1") + behind:
        sent.append(f"{prefix} {len(sent)}".encode())
        assert send(sent[-1], 0, priority)
    return sent


def _rest(bus: MessageBus, count: int) -> list[bytes]:
    """So many messages, with a look around before each."""
    found: list[bytes] = []
    inbox = bus.inbox(1)

    def takes() -> bool:
        time.sleep(0.002)  # as a hook takes: then a receive looks at other sources first
        data = inbox.get(0, True, True, no_signal)
        found.extend([] if data is None else [data])
        return len(found) >= count

    wait_until(takes)
    return found


def test_a_queue_goes_before_an_urgent_lane_that_is_younger(bus_env: object, bus_name: str) -> None:
    """While a batch of others is handed out, the queue has the first urgent ones, a lane those after them."""
    with message_bus(bus_name, mules=1, farms=()) as bus:
        inbox = bus.inbox(1)
        calm = _fill(bus, "calm", 0, 100)
        taken = [inbox.get(5, True, True, no_signal) for _ in range(len(calm) - 100 + 1)]
        bus.close_inbox(inbox)
        urgent = _fill(bus, "urgent", 9, 20)
        found = _rest(bus, len(calm) - len(taken) + len(urgent))
        assert [each for each in found if each.startswith(b"urgent")] == urgent
        assert taken + [each for each in found if each.startswith(b"calm")] == calm


def test_an_urgent_lane_goes_before_a_queue_of_others(bus_env: object, bus_name: str) -> None:
    """The queue is full of calm ones: what is urgent lies in a lane, and still overtakes them and a batch."""
    with message_bus(bus_name, mules=1, farms=()) as bus:
        inbox = bus.inbox(1)
        calm = _fill(bus, "calm", 0, 100)
        taken = [inbox.get(5, True, True, no_signal) for _ in range(len(calm) - 100 + 1)]
        bus.close_inbox(inbox)
        later = _fill(bus, "later", 3, 0)
        urgent = [b"urgent %d" % number for number in range(300)]
        send = bus.post().outbox("mule1").send
        assert all(send(each, 0, 9) for each in urgent)
        found = _rest(bus, len(calm) - len(taken) + len(later) + len(urgent))
        last = found.index(urgent[-1])
        assert [each for each in found[: last + 1] if each.startswith(b"urgent")] == urgent
        # One of the batch may have been next already.
        assert sum(each.startswith(b"calm") for each in found[:last]) <= 1
        assert [each for each in found if each.startswith(b"later")] == later
        assert taken + [each for each in found if each.startswith(b"calm")] == calm
