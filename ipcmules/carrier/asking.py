"""Who waits for the cluster to give something, and is told when nothing more is to be taken."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Asking:
    """The seats of farms, or of a spooler, that wait."""

    def __init__(self) -> None:
        #: True once nothing more is to be taken.
        self.is_over = False
        self._waiting: set[asyncio.Task[None] | None] = set()

    @contextmanager
    def waits(self) -> Iterator[None]:
        """Within, the running task is cancelled when nothing more is to be taken."""
        seat = asyncio.current_task()
        self._waiting.add(seat)
        try:
            yield
        finally:
            self._waiting.discard(seat)

    def end(self) -> None:
        """Take nothing more."""
        self.is_over = True
        for each in list(self._waiting):
            if each is not None:
                each.cancel()
