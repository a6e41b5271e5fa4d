"""What a decorator says of how a function's tasks run, beside what uWSGI's can say. Values only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

Hook = Callable[..., Any]
#: Before a task's function is called; after it returned; after an attempt failed; when the task is dead.
BEFORE, AFTER, FAILED, DEAD = "before", "after", "failed", "dead"
HOOKS = (BEFORE, AFTER, FAILED, DEAD)
#: Until when a task with a unique key keeps others away: until its function is called, or until it is over.
STARTED, DONE = "started", "done"
UNTIL = (DONE, STARTED)
#: The most tasks that a rate may allow, and the longest time that it may be for, seconds.
MOST_BEGUN, LONGEST_RATE = 100_000, 86400


class Schedule(Protocol):
    """Times in seconds since 1970."""

    @property
    def text(self) -> str:
        """What it is, in words."""

    def first(self, now: float) -> float:
        """The first time after now."""

    def following(self, last: float, now: float) -> float:
        """The first time after now of those that `last` was one of."""


@dataclass(frozen=True)
class Manner:
    """Seconds are 0 where there is no such limit, hooks None where there is none.

    results: seconds for which a task's end is kept. expires: seconds after which it is not begun any more.
    retry_on: only these exceptions run it again, None for all. drop_on: these remove it. jitter: the waits
    between attempts are random, from half to whole. unique: the key of which there is one task, "" for none;
    unique_until: how long it keeps others away (spooler/unique.py). concurrency: so many at once, 0 for any
    number. rate: so many begun in so many seconds. key: what both count, "" for the function's tasks.
    schedule: when its tasks come by themselves.
    """

    results: float = 0.0
    retry_on: tuple[type[BaseException], ...] | None = None
    drop_on: tuple[type[BaseException], ...] = ()
    jitter: bool = False
    timeout: float = 0.0
    soft_timeout: float = 0.0
    expires: float = 0.0
    unique: str = ""
    unique_until: str = "done"
    concurrency: int = 0
    rate: tuple[int, float] | None = None
    key: str = ""
    schedule: Schedule | None = None
    before: Hook | None = None
    after: Hook | None = None
    failed: Hook | None = None
    dead: Hook | None = None

    @property
    def is_limited(self) -> bool:
        """True if there may be too many of its tasks at once, or in a time."""
        return bool(self.concurrency or self.rate)

    @property
    def is_plain(self) -> bool:
        """True if there is nothing to do for its tasks before they are run, or while they are."""
        times = self.timeout or self.soft_timeout or self.expires
        return not (times or self.is_limited or self.before or self.after)

    def hook(self, what: str) -> Hook | None:
        """The function's own hook of a kind of HOOKS."""
        found: Hook | None = getattr(self, what)
        return found


#: What a function has that says nothing.
NONE = Manner()

#: Hooks of all functions, by kind.
for_all: dict[str, list[Hook]] = {}


def add_hook(what: str, hook: Hook) -> None:
    """Have a hook called for all tasks of this process. The same function again takes the former's place."""
    found = for_all.setdefault(what, [])
    found[:] = [each for each in found if _who(each) != _who(hook)]
    found.append(hook)


def _who(hook: Hook) -> Any:
    name = getattr(hook, "__qualname__", None)
    return hook if name is None or "<lambda>" in name else (getattr(hook, "__module__", None), name)
