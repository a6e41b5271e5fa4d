"""What runs beside an app takes threads, locks and polls from kernel/unpatched.py."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

import ipcmules
from ipcmules.kernel import unpatched

ROOMS = (
    "api",
    "bus",
    "caches",
    "counters",
    "events",
    "locks",
    "member",
    "messages",
    "process",
    "rings",
    "signals",
    "spooler",
)
PATCHED = re.compile(
    r"threading\.(Lock|RLock|Condition|Thread|Semaphore)\(|select\.\w+\(|os\.fork\(|^from queue import"
)


@pytest.mark.parametrize("room", ROOMS)
def test_nobody_uses_what_gevent_replaces(room: str) -> None:
    root = Path(ipcmules.__file__).parent / room
    found = [
        f"{path.relative_to(root)}:{number}: {line.strip()}"
        for path in root.rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if PATCHED.search(line) and not line.lstrip().startswith("#")
    ]
    assert found == []


def test_a_condition() -> None:
    condition = unpatched.Condition()
    there: list[int] = []

    def give() -> None:
        with condition:
            there.append(1)
            condition.notify_all()

    with condition:
        assert condition.wait(0.01) is False
        assert condition.wait_for(lambda: there, 0.01) is False
    thread = unpatched.thread(give, "give")
    with condition:
        thread.start()
        assert condition.wait_for(lambda: there, 20) is True
    thread.join(20)
    assert not thread.is_alive()


def test_a_bare_thread() -> None:
    ran: list[int] = []
    bare = unpatched._Bare(lambda number: ran.append(unpatched.get_ident() * 0 + number), (5,))
    bare.start()
    bare.join(20)
    deadline = time.monotonic() + 20
    while bare.is_alive() and time.monotonic() < deadline:
        pass
    assert ran == [5] and bare.ident
