"""Killing the mules and workers whose time is over: deadlines are in their records (R_DEADLINE).

The master looks when the nearest one that it knows is due, and says in the header when that is (H_LOOK); a
process that sets a nearer one wakes it through the notify FIFO. Where none is set, nobody looks.
"""

from __future__ import annotations

import signal
import time

from ipcmules.bus import log, table
from ipcmules.kernel import kill
from ipcmules.master.children import deaths, last_words
from ipcmules.master.children.children import Child, Children
from ipcmules.master.children.readiness import record_of
from ipcmules.master.loop.selector import Loop, Timer
from ipcmules.master.objects.objects import Objects

#: After the last deadline is gone the master looks once more, so many seconds later: a process that sets one
#: just then may still have seen the old H_LOOK.
_ONCE_MORE = 0.05


class Harakiri:
    """The watch over the deadlines. One a supervisor."""

    def __init__(self, loop: Loop, objects: Objects, children: Children) -> None:
        self._loop = loop
        self._objects = objects
        self._children = children
        self._timer: Timer | None = None
        self._was_watching = False
        self._questions: dict[int, last_words.Question] = {}

    def look(self) -> None:
        """See who is late, and when to look next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = time.monotonic_ns()
        due = [(deadline, child) for child in self._children.running() if (deadline := self._deadline(child))]
        for deadline, child in due:
            if deadline <= now:
                self._condemn(child)
        nearest = min((deadline for deadline, _child in due if deadline > now), default=0)
        self._objects.table.cells[table.H_LOOK] = nearest
        if nearest:
            self._timer = self._loop.later((nearest - now) / 1e9, self.look)
        elif self._was_watching:
            self._timer = self._loop.later(_ONCE_MORE, self.look)
        self._was_watching = nearest > 0

    def _deadline(self, child: Child) -> int:
        cells, record = self._objects.table.cells, record_of(self._objects, child)
        # What a predecessor left in the record means nobody.
        if cells[record + table.R_PID] != child.pid or child.sentence == deaths.HARAKIRI:
            return 0
        return int(cells[record + table.R_DEADLINE])

    def _condemn(self, child: Child) -> None:
        child.sentence, pid = deaths.HARAKIRI, child.pid

        def end(text: str) -> None:
            log.event(
                "error",
                f"{child} (pid {pid}): harakiri: {self._doing(child)} takes too long. {_stacks(text)}",
            )
            child.stack = text
            if child.pid == pid:
                kill.send_to_child(pid, signal.SIGKILL)

        self._questions[pid] = last_words.Question(
            self._loop, pid, self._objects.where.stack(child.name), end
        )

    def ended(self, pid: int) -> None:
        """A process has ended: if it was asked for its stacks, what it said is logged now."""
        question = self._questions.pop(pid, None)
        if question is not None:
            question.ended()

    def _doing(self, child: Child) -> str:
        cells, record = self._objects.table.cells, record_of(self._objects, child)
        doing = cells[record + table.R_DOING]
        if doing >> 8 == table.DOES_SIGNAL:
            return f"the handler of signal {doing & 0xFF}"
        if doing >> 8 == table.DOES_TASK:
            return "a task"
        return "a message hook" if doing >> 8 == table.DOES_MESSAGE else "guarded code"


def _stacks(text: str) -> str:
    if not text:
        return "It does not tell what it was doing: is it stopped?"
    return f"It was doing this:\n{text}"
