"""Tasks that go to the cluster: from the directory into which processes of the bus write them.

Each is published under its name, by which the servers know a repeat, and its file goes when they have stored
it.
Knows files and the engine.
"""

from __future__ import annotations

import asyncio
import os
import time

from inotify_simple import flags

from ipcmules.bus import log
from ipcmules.carrier.engine import Away, Refused
from ipcmules.carrier.tasks.values import Stored, TaskEngine
from ipcmules.cluster.tasks import HAND, OUT
from ipcmules.kernel import files, inotify
from ipcmules.kernel.printable import for_people
from ipcmules.options.values import SpoolDir
from ipcmules.spooler import claim, codec, dead_tasks, names
from ipcmules.spooler.attempts import Record

#: So many are published at once; one try takes so long, seconds.
_TOGETHER, _TRY = 64, 5.0
#: Where nothing could be published, and where the directory cannot be watched, it is looked at so often,
#: seconds.
_LOOK = 1.0
#: So long a file may be in the making, seconds.
_YOUNG = 0.05


class Out:
    """The tasks of one spooler. external: no spooler of this bus has a directory for what is refused."""

    def __init__(self, engine: TaskEngine, spool: SpoolDir) -> None:
        self._engine = engine
        self._name = spool.name
        self._directory = f"{spool.directory}/{OUT}"
        self._hand = f"{spool.directory}/{HAND}"
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        watched = self._watch()
        while True:
            self._changed.clear()
            found = sorted(self._listing(), key=lambda name: names.fifo_key(name) or 0)
            if found:
                await self._publish(found)
                continue
            try:
                await asyncio.wait_for(self._changed.wait(), None if watched else _LOOK)
            except asyncio.TimeoutError:
                pass

    async def _publish(self, found: list[str]) -> None:
        for start in range(0, len(found), _TOGETHER):
            done = await asyncio.gather(*map(self._one, found[start : start + _TOGETHER]))
            if not any(done):
                await asyncio.sleep(_YOUNG if None in done else _LOOK)
                return

    def _listing(self) -> list[str]:
        try:
            return [each for each in os.listdir(self._directory) if names.is_task(each)]
        except OSError:
            return []

    def _watch(self) -> bool:
        try:
            watcher = inotify.open_inotify()
            watcher.add_watch(self._directory, flags.CREATE | flags.MOVED_TO | flags.CLOSE_WRITE)
        except OSError as error:
            text = (
                f"{self._directory} cannot be watched ({inotify.reason(error)}): looked at each {_LOOK:g} s"
            )
            log.event("warning", text)
            return False

        def look() -> None:
            watcher.read(0)
            self._changed.set()

        asyncio.get_running_loop().add_reader(watcher.fileno(), look)
        return True

    async def _one(self, name: str) -> bool | None:
        """Publish a task. False where the cluster is away, None where the file is in the making."""
        path = f"{self._directory}/{name}"
        try:
            with open(path, "rb") as file:
                data = file.read()
                due = os.fstat(file.fileno()).st_mtime
            codec.unpack(data)
        except OSError:
            return True
        except codec.Malformed as error:
            return self._malformed(path, data, str(error))
        task = Stored(self._name, name, data, due if due > time.time() else 0.0)
        try:
            await self._engine.store(task, _TRY)
        except Away:
            return False
        except Refused as error:
            self._refused(path, name, str(error))
            return True
        files.remove(path)
        return True

    def _malformed(self, path: str, data: bytes, why: str) -> bool | None:
        try:
            if time.time() - os.stat(path).st_mtime < claim.YOUTH:
                return None
        except OSError:
            return True
        if data:
            self._refused(path, os.path.basename(path), f"this is no task: {why}")
        else:
            files.remove(path)  # its writer was killed before it wrote
        return True

    def _refused(self, path: str, name: str, why: str) -> None:
        """The cluster will never take it: it is a dead task of this host."""
        log.event("error", f"task {for_people(name)} is given up, and dead on this host: {why}")
        target = f"{self._hand}/{name}"
        os.rename(path, target)
        try:
            dead_tasks.bury(self._hand, name, Record(time=time.time(), reason=why))
        except OSError as error:
            log.event("error", f"{target} cannot be moved to dead/: {error}")
