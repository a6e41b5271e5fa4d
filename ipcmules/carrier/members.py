"""The members of one cluster farm on this host, or who has one address: idle ones, deliveries that they have.

As many messages are asked for as there are idle members. Who is idle says the lanes' directory: a mule that
waits at the farm's queue has its bell there. Knows the table and the directory; not the cluster.
"""

from __future__ import annotations

import asyncio

import posix_ipc

from ipcmules.errors import AccessError
from ipcmules.member.membership import Membership
from ipcmules.messages.lanes import directory as lanes
from ipcmules.options.values import Farm

#: Where members work for this host alone, so often is looked for an idle one, seconds: at first, later.
_LOOK, _SELDOM = 0.02, 0.2


class Members:
    """Idle members, and the deliveries that are here."""

    def __init__(self, member: Membership, farm: Farm, endpoint: str = "") -> None:
        """farm: its name, or an address (NAME@HOST), and its mules. endpoint: their queue, the farm's."""
        self.farm = farm
        self.endpoint = endpoint or f"farm.{farm.name}"
        self._member = member
        self._directory: lanes.Directory | None = None
        #: Pulls that wait at the cluster.
        self.asking = 0
        #: By token: done when the delivery is, with how: True done, False handed back.
        self.here: dict[str, asyncio.Future[bool]] = {}
        self._freed = asyncio.Event()
        #: Members that have said that they are done: they are about to wait.
        self._fresh = 0

    async def room(self) -> None:
        """Wait until one more message may be asked for."""
        pause = _LOOK
        while True:
            if len(self.here) + self.asking < len(self.farm.mules):
                if self._fresh:
                    self._fresh -= 1
                    return
                if self.idle() > self.asking:
                    return
                await asyncio.sleep(pause)
                pause = min(2 * pause, _SELDOM)
            else:
                self._freed.clear()
                await self._freed.wait()

    def came(self, token: str) -> asyncio.Future[bool]:
        """A delivery is here."""
        return self.here.setdefault(token, asyncio.get_running_loop().create_future())

    def settle(self, token: str, how: bool) -> bool:
        """A delivery is done, or handed back. False if it is not here."""
        future = self.here.get(token)
        if future is None:
            return False
        if not future.done():
            future.set_result(how)
        return True

    def gone(self, token: str) -> None:
        """A delivery is here no more."""
        future = self.here.pop(token, None)
        if future is not None and future.done() and future.result():
            self._fresh = min(self._fresh + 1, len(self.farm.mules))
        self._freed.set()

    def asked(self, change: int) -> None:
        """One pull more (1) or less (-1)."""
        self.asking += change
        self._freed.set()

    def idle(self) -> int:
        """How many members wait for a message now."""
        try:
            if self._directory is None:
                self._directory = lanes.Directory(self._member.where)
        except (posix_ipc.ExistentialError, AccessError, OSError):
            return 0
        directory = self._directory
        queue = lanes.number_of(self._member.description.config, self.endpoint)
        return sum(directory.cells[directory.bell(queue, mule)] & 1 for mule in self.farm.mules)

    def alive(self) -> bool:
        """True while a member's process is there."""
        table = self._member.table
        return any(table.lives(table.mule(mule)) for mule in self.farm.mules)
