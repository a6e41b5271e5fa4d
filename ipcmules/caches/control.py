"""What the processes of a cache share beside its data: a mapped file of 8-byte cells, `PATH-use`.

Specified to the byte in docs/formats-state.md. Who writes to the cache writes here too, under LMDB's lock;
when something was used last is written by readers without one, and may be lost.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
from dataclasses import asdict
from time import monotonic_ns
from zlib import crc32

from ipcmules.errors import CacheError
from ipcmules.kernel import exhaustion
from ipcmules.options.caches import CacheSpec

MAGIC = 0x31304143_4D435049  # "IPCMCA01" as a little-endian number
PAGE = 4096

#: Cells: magic; how much may be written before somebody has to count; nothing expires before that
#: (nanoseconds since the epoch, 0: ever); not used; how many cells say when something was used.
C_MAGIC, C_ROOM, C_SOONEST, _, C_STAMPS = range(5)
#: 1 while it is used, 0 after a clean end; the start of the machine (boot id, 16 bytes) in which it was used.
C_USED, C_BOOT = 5, 6
#: 1 once its bus has ended: who still has it open looks whether there is another one by now.
C_OVER = 8
#: 1 while a sweep is going on: one that was killed is begun again.
C_SWEEPING = 9
#: How many entries were evicted, those that had expired included.
C_EVICTED = 10
_SPEC, _SPEC_END = 256, PAGE
#: The first cell that says when a key was used: that of its CRC-32, modulo their number.
FIRST = PAGE // 8
_FEWEST, _MOST = 1 << 13, 1 << 20


class Control:
    """The file of one cache, mapped."""

    def __init__(self, descriptor: int) -> None:
        """descriptor: of the file, whose size is right; it is not used afterwards."""
        self._map = mmap.mmap(descriptor, 0)
        self.cells = memoryview(self._map).cast("Q")
        #: The cells that say when a key was used.
        self.stamps = self.cells[FIRST:]
        #: For the index of a key's cell; 0: nothing is noted, as nothing is evicted.
        self.mask = max(int(self.cells[C_STAMPS]) - 1, 0)

    def spec(self) -> CacheSpec:
        """What the cache was made to be."""
        text = bytes(self._map[_SPEC:_SPEC_END]).rstrip(b"\0")
        return CacheSpec(**json.loads(text))

    def describe(self, spec: CacheSpec) -> None:
        """Write what it is."""
        text = json.dumps(asdict(spec)).encode()
        if len(text) > _SPEC_END - _SPEC:
            raise CacheError(
                f"the path {spec.store[:80]!r}... of cache {spec.name!r} is too long: shorten it"
            )
        self._map[_SPEC:_SPEC_END] = text.ljust(_SPEC_END - _SPEC, b"\0")

    def begin(self, stamps: int, empty: bool) -> None:
        """Make it valid: of a cache that is empty, or whose data can be used. stamps: as stamps_for()."""
        cells = self.cells
        cells[C_STAMPS], cells[C_ROOM], cells[C_USED] = stamps, 0, 1
        cells[C_SOONEST] = 0 if empty else 1  # unknown: who sweeps next sees all
        self._map[8 * C_BOOT : 8 * C_BOOT + 16] = boot()
        self.mask = max(stamps - 1, 0)
        cells[C_MAGIC] = MAGIC

    def finish(self) -> None:
        """Its bus has ended."""
        self.cells[C_OVER] = 1
        self.cells[C_ROOM] = 0

    def end(self) -> None:
        """Say that what is on the disk is whole."""
        self.cells[C_USED] = 0
        self._map.flush()

    def is_whole(self) -> bool:
        """True if the data beside it can be used: no machine went down while it was."""
        cells = self.cells
        boots = bytes(self._map[8 * C_BOOT : 8 * C_BOOT + 16])
        return cells[C_MAGIC] == MAGIC and (not cells[C_USED] or boots == boot())

    def used(self, key: bytes) -> None:
        """Note that a key, as it is stored, was used."""
        self.stamps[crc32(key) & self.mask] = monotonic_ns()

    def when(self, key: bytes) -> int:
        """When a key was used, by the monotonic clock."""
        return int(self.stamps[crc32(key) & self.mask])

    def close(self) -> None:
        """Unmap it."""
        self.stamps.release()
        self.cells.release()
        self._map.close()


def mark_over(path: str) -> None:
    """As finish(), of a bus that could not say so itself. Does nothing where there is no such file."""
    try:
        with open(path, "r+b", buffering=0) as file:
            if os.fstat(file.fileno()).st_size >= PAGE:
                os.pwrite(file.fileno(), (1).to_bytes(8, "little"), 8 * C_OVER)
                os.pwrite(file.fileno(), bytes(8), 8 * C_ROOM)
    except OSError:
        pass  # not there, or not ours


def stamps_for(spec: CacheSpec) -> int:
    """How many cells say when something was used: a power of 2, at least twice the entries up to a limit."""
    if spec.full != "evict":
        return 0
    wanted = 2 * spec.items if spec.items else spec.size // 256
    return min(max(1 << max(wanted - 1, 1).bit_length(), _FEWEST), _MOST)


def open_locked(path: str) -> int:
    """A descriptor of the file, made if it is missing, that this process alone holds. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def boot() -> bytes:
    """Which start of the machine this is (random(4)); zeros where it does not say.

    Raises LimitError where there is no descriptor to read it by: no cache is taken for an older one then.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return bytes.fromhex(file.read().strip().replace("-", ""))
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and exhaustion.refused(error):
            raise exhaustion.explain(error, "a cache cannot be opened") from error
        return bytes(16)
