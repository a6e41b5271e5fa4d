"""Kills senders and receivers in the middle of bursts, and checks a ledger of every message.

    python -m chaos.lanes --kills 10000        (in tests/; a short run is part of the suite)

Senders send bursts to mules that are busy, to the pool and to a farm; each writes down in shared memory what
a send is about to send and what it has accepted, so the ledger outlives a SIGKILL. Receivers write down what
they got in the same way. At the end everything accepted must have come exactly once (in a receiver's ledger,
or as what a killed receiver had in hand), one that was being sent may have come, and nothing else; and of one
sender to one target in its order. Of the kernel's queues, not of lanes, a killed receiver may lose one that
it had just been handed: they are counted.

With --trickle one sender sends a few at a time and waits until they were taken, so that mules fall asleep
again and again and nothing else stirs: where a wake-up is lost they lie there, which is said after 20 s.
"""

from __future__ import annotations

import argparse
import contextlib
import mmap
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from ipcmules.messages import in_hand
from ipcmules.messages.lanes import saving
from ipcmules.messages.lanes.directory import Q_WAITING
from ipcmules.messages.send.outbox import Outbox
from messagebus import MessageBus, message_bus, no_signal

TARGETS = ("mule1", "mule2", "pool", "farm.mail")
MULES = 3
#: Records of a ledger: 8 bytes each.
_ROOM = 1 << 20
#: How long what was sent may lie there while nobody is busy, seconds; nobody is stopped for so long.
_LATE = 20.0


class Ledger:
    """Numbers that a process writes down; they outlive it. One writer at a time."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8 * _ROOM)
        self.cells = memoryview(self._memory).cast("Q")
        # cells[0]: how many numbers follow. cells[1]: what a send is about to send, + 1.

    def add(self, number: int) -> None:
        """Write one down: the number first, then that it is there."""
        count = self.cells[0]
        self.cells[2 + count] = number
        self.cells[0] = count + 1

    def numbers(self) -> list[int]:
        """All that was written down."""
        return list(self.cells[2 : 2 + self.cells[0]])


#: Beside a message that was accepted: it went into the kernel's queue, not into a lane.
_KERNEL = 1 << 60


def _pack(sender: int, target: int, number: int) -> int:
    return sender << 32 | target << 28 | number


def _message(key: int, choice: random.Random) -> bytes:
    size = choice.choice((0, 0, 10, 50, 300, 2000, 9000))
    return b"%d " % key + b"x" * size


def _send(bus: MessageBus, sender: int, ledger: Ledger, burst: int, late: Ledger | None) -> None:
    """late: a trickle, and where to write down what was not taken in time."""
    post = bus.post()
    choice = random.Random(sender)
    numbers: Counter[int] = Counter()
    while True:
        target = choice.randrange(len(TARGETS))
        outbox = post.outbox(TARGETS[target])
        hint = outbox._directory.record(outbox._number) + Q_WAITING
        for _ in range(choice.randrange(1, burst)):
            key = _pack(sender, target, numbers[target])
            data, before = _message(key, choice), _position(outbox)
            ledger.cells[1] = key + 1
            if late is not None and choice.random() < 0.8:
                outbox._directory.cells[hint] = 1  # by its lane, though the queue has room
            if outbox.send(data, 0):
                ledger.add(key if _position(outbox) != before else key | _KERNEL)
                numbers[target] += 1
            ledger.cells[1] = 0
        if late is not None:
            _wait_until_taken(outbox, late, key)
            time.sleep(choice.random() * 0.0006)


def _wait_until_taken(outbox: Outbox, late: Ledger, key: int) -> None:
    deadline = time.monotonic() + _LATE
    while (
        saving.count(outbox._directory, outbox._number) or (outbox._queue or outbox._open()).current_messages
    ):
        if time.monotonic() > deadline:
            late.add(key)
            return
        time.sleep(0.00005)


def _position(outbox: Outbox) -> int:
    """Where the outbox's lane goes on."""
    lane = outbox._lanes.get(0)
    return 0 if lane is None else lane.position


def _receive(bus: MessageBus, mule: int, ledger: Ledger) -> None:
    inbox = bus.inbox(mule)
    choice = random.Random(os.getpid())
    while True:
        data = inbox.get(None, True, True, no_signal)
        assert data is not None
        ledger.add(int(data.split(b" ")[0]))
        if choice.random() < 0.0005:
            time.sleep(0.02)  # senders find the queues full


class Run:
    """One run: the processes, their ledgers, and what was found in dead hands."""

    def __init__(self, bus: MessageBus, seed: int, burst: int, trickle: bool) -> None:
        self._bus = bus
        self._late = Ledger() if trickle else None
        self._burst = burst
        self._choice = random.Random(seed)
        self._senders: dict[int, tuple[int, Ledger]] = {}
        self._receivers: dict[int, tuple[int, int]] = {}
        self.ledgers: list[tuple[int, Ledger]] = []
        self.received = [Ledger() for _ in range(MULES)]
        self.hands: list[int] = []
        self.killed = Counter[str]()
        #: How many of a kernel queue's messages went with a killed receiver; known once check() has run.
        self.in_window = 0

    def start_sender(self) -> None:
        """One more sender."""
        number, ledger = len(self.ledgers), Ledger()
        self.ledgers.append((number, ledger))
        pid = self._bus.fork(_send, self._bus, number, ledger, self._burst, self._late)
        self._senders[pid] = (number, ledger)

    def start_receiver(self, mule: int) -> None:
        """The process of a mule."""
        pid = self._bus.fork(_receive, self._bus, mule, self.received[mule - 1])
        self._receivers[pid] = (mule, 0)

    def kill_sender(self) -> None:
        """Kill one in the middle of what it does, and start another."""
        pid = self._choice.choice(list(self._senders))
        del self._senders[pid]
        self._bus.kill(pid)
        self.killed["senders"] += 1

    def kill_receiver(self) -> None:
        """Kill one, put away what it had in hand as a master does, and start its successor."""
        pid = self._choice.choice(list(self._receivers))
        mule, _ = self._receivers.pop(pid)
        self._bus.kill(pid)
        self.killed["receivers"] += 1
        self._recover(mule)
        self.start_receiver(mule)

    def _recover(self, mule: int) -> None:
        written = self.received[mule - 1].cells
        last = int(written[1 + written[0]]) if written[0] else -1
        for left in in_hand.recover(self._bus.where, mule):
            key = int(left.data.split(b" ")[0])
            if key != last:  # killed after it wrote the message down, before it was done with it
                self.hands.append(key)

    def stop_for_a_while(self) -> None:
        """Stop one in the middle of what it does; it goes on a little later."""
        pid = self._choice.choice([*self._senders, *self._receivers])
        os.kill(pid, signal.SIGSTOP)
        time.sleep(self._choice.random() * 0.01)
        os.kill(pid, signal.SIGCONT)

    def finish(self, seconds: float) -> None:
        """Kill the senders; wait until the receivers have everything; end them."""
        while self._senders:
            self.kill_sender()
        deadline = time.monotonic() + seconds
        while any(self._bus.waiting(each) for each in TARGETS):
            if time.monotonic() > deadline:
                left = {each: self._bus.waiting(each) for each in TARGETS}
                raise AssertionError(f"not received within {seconds} s: {left}")
            time.sleep(0.01)
        before = -1
        while before != (now := sum(each.cells[0] for each in self.received)):
            before = now
            time.sleep(0.2)
        for pid, (mule, _) in list(self._receivers.items()):
            self._bus.kill(pid)
            self._recover(mule)

    def check(self) -> list[str]:
        """What is wrong; nothing if all is well."""
        got: Counter[int] = Counter(self.hands)
        wrong = [f"{key:x} was not taken in time" for key in (self._late.numbers() if self._late else ())]
        for ledger in self.received:
            numbers = ledger.numbers()
            got.update(numbers)
            wrong += _disorder(numbers)
        accepted: set[int] = set()
        unknown: set[int] = set()
        for _, ledger in self.ledgers:
            accepted.update(number & ~_KERNEL for number in ledger.numbers())
            if ledger.cells[1]:
                unknown.add(ledger.cells[1] - 1)
        # What a receiver had just been handed by the kernel's queue when it was killed (docs/limits.md).
        window = {
            number & ~_KERNEL for _, each in self.ledgers for number in each.numbers() if number & _KERNEL
        }
        window -= got.keys()
        self.in_window = len(window)
        if self.in_window > self.killed["receivers"]:
            wrong.append(f"{self.in_window} missing of kernel queues")
        missing = accepted - got.keys() - window
        strange = got.keys() - accepted - unknown
        doubled = [key for key, count in got.items() if count > 1]
        for what, keys in (("missing", missing), ("doubled", doubled), ("never sent", strange)):
            if keys:
                some = ", ".join(f"{each:x}" for each in sorted(keys)[:5])
                wrong.append(f"{len(keys)} {what}: {some}")
        return wrong

    def summary(self) -> str:
        """What happened, in a line."""
        accepted = sum(ledger.cells[0] for _, ledger in self.ledgers)
        kills = ", ".join(f"{count} {what}" for what, count in sorted(self.killed.items()))
        by_kernel = sum(bool(number & _KERNEL) for _, each in self.ledgers for number in each.numbers())
        return (
            f"{accepted} accepted, {by_kernel} of them by kernel queues; killed: {kills}; "
            f"{len(self.hands)} in dead hands, {self.in_window} of a kernel queue in a kill's window"
        )


def _disorder(numbers: list[int]) -> Iterator[str]:
    """Messages of one sender to one target that one receiver got in another order."""
    last: dict[int, int] = defaultdict(lambda: -1)
    for key in numbers:
        lane, number = key >> 28, key & 0xFFFFFFF
        if number < last[lane]:
            yield f"sender {lane >> 4} to {TARGETS[lane & 15]}: {number} after {last[lane]}"
        last[lane] = number


def run(name: str, kills: int, seed: int, trickle: bool = False) -> Run:
    """Kill so many senders, and a receiver for every fifth of them. Returns what is to be checked."""
    choice = random.Random(seed)
    senders, burst, pause, stops = (1, 4, 0.1, 8) if trickle else (3, 300, 0.02, 0)
    with message_bus(name, mules=MULES, farms=("mail:1,2",)) as bus:
        found = Run(bus, seed, burst, trickle)
        for mule in range(1, MULES + 1):
            found.start_receiver(mule)
        for _ in range(senders):
            found.start_sender()
        for number in range(kills):
            for _ in range(stops):
                found.stop_for_a_while()
            time.sleep(choice.random() * pause)
            found.kill_sender()
            found.start_sender()
            if number % 5 == 4:
                found.kill_receiver()
            if number % 3 == 2:
                found.stop_for_a_while()
        found.finish(60)
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Kills senders and receivers in the middle of bursts.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--trickle", action="store_true")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    trickle = " --trickle" if options.trickle else ""
    print(f"chaos.lanes: --kills {options.kills} --seed {options.seed}{trickle}", flush=True)
    left, wrong = options.kills, []
    while left > 0:
        # In parts: a ledger has an end.
        part = min(left, 200)
        left -= part
        found = run(f"lanes-{os.getpid()}", part, options.seed + left, options.trickle)
        faults = found.check()
        wrong += faults
        print(found.summary(), *faults, sep="\n", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
