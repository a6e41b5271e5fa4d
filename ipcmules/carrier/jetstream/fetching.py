"""A taker that gives whole messages: where a reference is taken, its body is fetched (large.py).

The token of such a delivery is that of NATS, a space, and the subject of the pieces, which are removed when
it is done: so they are also by a carrier that has it from its predecessor. Knows pulls and large bodies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import nats.errors

from ipcmules.bus import log
from ipcmules.carrier.engine import Away, Taken, Taker
from ipcmules.carrier.jetstream.large import Gone, Large, Reference

#: After trouble, seconds.
_PAUSE = 0.5


class Fetching:
    """See engine.Taker."""

    def __init__(
        self,
        taker: Taker,
        large: Large,
        extend: Callable[[str], Awaitable[None]],
        back: Callable[[str], Awaitable[None]],
        bury: Callable[[Taken, str], Awaitable[None]],
    ) -> None:
        """extend(token), back(token): as of Engine. bury(taken, why) makes it a dead letter."""
        self._taker = taker
        self._large = large
        self._extend = extend
        self._back = back
        self._bury = bury

    async def take(self) -> Taken | None:
        """See Taker."""
        taken = await self._taker.take()
        if taken is None or not taken.large:
            return taken
        try:
            subject = Reference.of(taken.large).subject
            body = await self._large.fetch(taken.large, lambda: self._extend(taken.token))
        except Gone as error:
            await self._gone(taken, str(error))
            return None
        except (nats.errors.Error, asyncio.TimeoutError, OSError):
            await self._back(taken.token)
            await asyncio.sleep(_PAUSE)
            return None
        except asyncio.CancelledError:
            await self._back(taken.token)
            raise
        return replace(taken, token=pack(taken.token, subject), body=body)

    async def _gone(self, taken: Taken, why: str) -> None:
        try:
            await self._bury(taken, why)
        except Away:
            await self._back(taken.token)
            return
        log.event("error", f"a large message of the cluster is a dead letter: {why}")


def pack(token: str, subject: str) -> str:
    """The token of a delivery whose body is at a subject."""
    return f"{token} {subject}"


def unpack(token: str) -> tuple[str, str]:
    """NATS's token, and the subject of the pieces, '' where there are none."""
    found, _, subject = token.partition(" ")
    return found, subject
