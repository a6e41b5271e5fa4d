"""What a path looks like, to be compared with what it looks like later: where the kernel tells of nothing.

That is the case on network file systems, for files that are mapped into memory, and where a parent of a
parent is renamed.
"""

from __future__ import annotations

import os
import stat

from ipcmules.kernel import exhaustion

#: As many entries of a directory are looked at, so that a large one does not hold up the master.
_MOST = 1000

#: None: there is nothing.
Sight = int | None


def look(path: str, recursive: bool) -> Sight:
    """What a path looks like now: a number that is another one after a change.

    Raises OSError where the system refuses to look.
    """
    try:
        found = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISDIR(found.st_mode):
        return hash(_features(found))
    seen = [_features(found)]
    ahead = [path]
    while ahead and len(seen) < _MOST:
        _add_entries(ahead.pop(), recursive, seen, ahead)
    return hash(tuple(seen))


def _add_entries(directory: str, recursive: bool, seen: list[tuple[object, ...]], ahead: list[str]) -> None:
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if len(seen) >= _MOST:
                    return
                found = entry.stat(follow_symlinks=False)
                below = stat.S_ISDIR(found.st_mode)
                if below and not recursive:
                    # Its times are those of what is in it.
                    seen.append((entry.name, found.st_ino, found.st_mode))
                    continue
                seen.append((entry.name, *_features(found)))
                if below:
                    ahead.append(entry.path)
    except OSError as error:
        if exhaustion.refused(error):
            raise  # that is no change: look again when there is a descriptor
        # else it was removed meanwhile: the next look sees it


def _features(found: os.stat_result) -> tuple[object, ...]:
    # Not the time of access: reading is no change.
    return found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns
