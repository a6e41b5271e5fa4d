"""An inbox of a mule that is a member of a cluster's farm: letters are opened, and acknowledged when they are
done.

Knows the inbox it is one of, letters, and the way to the carrier. A letter is done when the thread that has
it receives again, or the process ends by itself: as any message is (docs/architecture.md).
"""

from __future__ import annotations

import sys

from ipcmules.bus.description import Description
from ipcmules.bus.places import Places
from ipcmules.bus.table import Table
from ipcmules.cluster import client, letters
from ipcmules.cluster.letters import Letter
from ipcmules.kernel import unpatched
from ipcmules.messages.receive.counting import CountingInbox
from ipcmules.messages.receive.inbox import Inbox
from ipcmules.messages.receive.listening import Dispatch
from ipcmules.messages.receive.sources import Want
from ipcmules.messages.receive.waiting import Taker

_get_ident = unpatched.get_ident
_PREFIX, _SIZE = letters.PREFIX, letters.SIZE


def _nothing_loaded(everything: bool = True) -> bytes | None:
    return None


class LetteredInbox(Inbox):
    """Hands out what is in a letter, and says that it is done."""

    def __init__(
        self, where: Places, description: Description, shared: Table, number: int, taker: Taker
    ) -> None:
        super().__init__(where, description, shared, number, taker)
        self._where = where
        #: By thread: the letter that it has, and one that was received and not returned.
        self._held: dict[int, Letter] = {}
        self._unopened: dict[int, bytes] = {}
        # Who has a letter says first that it is done, and each is opened: none may come by the short way.
        self.next = _nothing_loaded
        self.ready = None

    def _receive(self, want: Want, timeout: float | None, dispatch: Dispatch) -> bytes | None:
        me, held, unopened = _get_ident(), self._held, self._unopened
        while True:
            if me not in unopened:
                self._settle(me)
                data = super()._receive(want, timeout, dispatch)
                # From here on no call and no loop: it is returned, or stands where the next receive finds it.
                if data is None or data[:_SIZE] != _PREFIX:
                    return data
                unopened[me] = data
            self._settle(me)  # of a signal handler that has received meanwhile
            packed = unopened.get(me)
            letter = None if packed is None else letters.opened(self._where, packed)
            # From here on no call and no loop, as above.
            if packed is not None and me in unopened and unopened[me] is packed:
                del unopened[me]
                if letter is None:
                    return packed  # an application's own, which only begins as one
                held[me] = letter
                return letter.body

    def deliveries(self) -> int:
        """How often what this thread has in hand was delivered, this time included; 0 if it is no letter."""
        letter = self._held.get(_get_ident())
        return 0 if letter is None else letter.deliveries

    def done(self, everything: bool = False) -> None:
        """As Inbox.done()."""
        for thread in list(self._held) if everything else [_get_ident()]:
            self._settle(thread)
        super().done(everything)

    def after_fork(self) -> None:
        """As Inbox.after_fork(): what is in hand is the parent's."""
        self._held.clear()
        self._unopened.clear()
        super().after_fork()

    def _settle(self, thread: int) -> None:
        """Say that what a thread has, and what threads had that have ended, is done."""
        held = self._held
        if not held:
            return
        if len(held) > 1:
            alive = sys._current_frames()
            for each in [each for each in list(held) if each not in alive]:
                self._say(each)
        self._say(thread)

    def _say(self, thread: int) -> None:
        letter = self._held.get(thread)
        if letter is not None:
            client.done(self._where, letter.token)
            if self._held.get(thread) is letter:
                self._held.pop(thread, None)


class CountingLetteredInbox(CountingInbox, LetteredInbox):
    """Both: it also ends its mule after a number of messages."""
