"""One run of a task: of which function, and what is known of it while it goes on. Values only."""

from __future__ import annotations

import time
from typing import Any

from ipcmules.process.spooler.holding import Hold
from ipcmules.spooler.attempts import Policy
from ipcmules.spooler.calls import SpoolFunction
from ipcmules.spooler.current import CurrentTask
from ipcmules.spooler.in_hand import Hand
from ipcmules.spooler.limits import Place


class Run:
    """name: of the task. attempt: which one it is, from 1. whole: the chain or group whose part the task is,
    None for none. hand: says that this process runs it.
    """

    __slots__ = (
        "attempt",
        "began",
        "current",
        "figures",
        "function",
        "hand",
        "held_by",
        "name",
        "place",
        "policy",
        "returned",
        "title",
        "whole",
    )

    def __init__(
        self,
        name: str,
        function: SpoolFunction,
        policy: Policy,
        attempt: int,
        whole: bytes | None,
        hand: Hand,
    ) -> None:
        self.name = name
        self.function = function
        self.policy = policy
        self.attempt = attempt
        self.whole = whole
        self.hand = hand
        #: When it began (time.monotonic()).
        self.began = time.monotonic()
        #: What its figures go by (spooler/figures.py), 0 where it was not begun or has been counted.
        self.figures = 0
        #: What current_task() gives, made when somebody asks.
        self.current: CurrentTask | None = None
        #: What the function returned, for who keeps it.
        self.returned: Any = None
        #: What its end is kept as being of; "": the function.
        self.title = ""
        #: Its place among those of its key, and what waits for that.
        self.place: Place | None = None
        self.held_by: Hold | None = None

    def details(self, attempt: int = 0) -> dict[str, object]:
        """Fields of the log. attempt: which one it was, where that is known better."""
        return {
            "task": self.name,
            "function": self.function.name,
            "attempt": attempt or self.attempt,
            "duration": round(time.monotonic() - self.began, 6),
        }
