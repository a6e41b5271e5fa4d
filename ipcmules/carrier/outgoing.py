"""What goes out: the files of the outbox, in the order of their names. Each goes when the cluster has it.

Knows the outbox, the engine and who settles deliveries. Directories are watched by inotify(7), nothing is
polled while the outbox is empty.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from inotify_simple import flags

from ipcmules.bus import log
from ipcmules.bus.places import Places, private_directory, private_state
from ipcmules.carrier.engine import Away, Engine, Raised, Refused
from ipcmules.cluster import outbox
from ipcmules.cluster.outbox import BACK, DONE, MESSAGE, SIGNAL, Item
from ipcmules.kernel import files, inotify
from ipcmules.messages import kept

#: Messages that are published at once.
_TOGETHER = 64
#: One try takes so long, seconds; the next one begins at once.
_TRY = 5.0
#: Bytes of a large message that are stored in a second, at least.
_A_SECOND = 4 << 20
#: A tick that could not be published for so long is dropped, seconds: another host may have published it,
#: and the servers remember names for twice as long (jetstream.streams.REMEMBERED).
_LATE = 300.0
#: Where the directory cannot be watched it is looked at so often, seconds.
_LOOK = 1.0


class Outgoing:
    """The outbox of one bus."""

    def __init__(
        self, where: Places, generation: int, engine: Engine, settle: Callable[[str, bool], None]
    ) -> None:
        """settle(token, whether it is done) is called with word of deliveries."""
        self._where = where
        self._generation = generation
        self._engine = engine
        self._settle = settle
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        watched = self._watch()
        while True:
            self._changed.clear()
            self.tell()
            messages = [each for each in self._items() if each.kind in (MESSAGE, SIGNAL)]
            if messages:
                await self._publish(messages[:_TOGETHER])
            elif watched:
                await self._changed.wait()
            else:
                await asyncio.sleep(_LOOK)

    def _watch(self) -> bool:
        try:
            private_state(self._where)
            directory = private_directory(outbox.directory(self._where))
            watcher = inotify.open_inotify()
            watcher.add_watch(directory, flags.MOVED_TO)
        except OSError as error:
            log.event(
                "warning",
                f"the outbox cannot be watched ({inotify.reason(error)}): looked at each {_LOOK:g} s",
            )
            return False

        def look() -> None:
            watcher.read(0)
            self.tell()
            self._changed.set()

        asyncio.get_running_loop().add_reader(watcher.fileno(), look)
        return True

    def _items(self) -> list[Item]:
        found = []
        for path in outbox.listing(self._where)[: 4 * _TOGETHER]:
            try:
                found.append(outbox.load(path))
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                log.event("error", f"a file of the outbox is set aside: {error}")
                os.rename(path, f"{path}.bad")
        return found

    def tell(self) -> None:
        """Word of deliveries needs no cluster yet: it is passed on at once."""
        for each in self._items():
            if each.kind == DONE:
                self._settle(each.token, True)
            elif each.kind == BACK:
                if each.generation == self._generation:
                    self._settle(each.token, False)
            else:
                continue
            files.remove(each.path)

    async def _publish(self, messages: list[Item]) -> None:
        results = await asyncio.gather(*map(self._one, messages))
        if not any(results):
            await asyncio.sleep(_LOOK)

    async def _one(self, item: Item) -> bool:
        """Publish a message under the name that it has for good: a second time is dropped by the servers."""
        if item.tick and item.age > _LATE:
            log.event(
                "warning",
                f"a tick of signal {item.signal} to {item.target!r} is {item.age:.0f} s late: dropped",
            )
            files.remove(item.path)
            return True
        try:
            if item.kind == SIGNAL:
                raised = Raised(item.signal, item.target, item.handler)
                await self._engine.publish_signal(raised, item.name, _TRY)
            else:
                longest = _TRY + len(item.body) / _A_SECOND
                await self._engine.publish(item.farm, item.name, item.body, longest)
        except Away:
            return False
        except Refused as error:
            if item.kind == SIGNAL:
                log.event("error", f"signal {item.signal} to {item.target!r} was not raised: {error}")
            else:
                kept.keep(self._where, item.body, outbox.endpoint(item.farm), str(error))
        files.remove(item.path)
        return True
