"""Which names in which directories decide what a path is: what must be watched for it.

A path that does not exist yet is waited for at its nearest existing parent; symbolic links on the way are
names that may change, too. Each directory is watched before it is looked at: nothing is missed in between.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

#: wd, name in that directory ('' for any), and whether an event there is a change of the path itself: else it
#: only leads somewhere else.
Interest = tuple[int, str, bool]

#: As many as the kernel follows: path_resolution(7).
_MOST_LINKS = 40


def arm(path: str, recursive: bool, watch: Callable[[str], int]) -> tuple[set[Interest], bool]:
    """Watch what an absolute path depends on.

    watch(directory): returns a wd, or -1 if it cannot be watched. Returns the interests, and whether all
    that should be watched is.
    """
    found: set[Interest] = set()
    directory = _follow(path, watch, found)
    if directory:
        _watch_tree(directory, recursive, watch, found)
    good = {each for each in found if each[0] >= 0}
    return good, len(good) == len(found)


def _follow(path: str, watch: Callable[[str], int], found: set[Interest]) -> str:
    """Go along a path. Returns the directory that it is, '' if it is none."""
    here, links = "/", 0
    ahead = path.split("/")[::-1]
    while ahead:
        name = ahead.pop()
        if name in ("", "."):
            continue
        if name == "..":
            here = os.path.dirname(here)
            continue
        full = os.path.join(here, name)
        last = not any(each not in ("", ".") for each in ahead)
        kind = _kind(full)
        if last or kind != stat.S_IFDIR:
            wd = watch(here)
            kind = _kind(full)
            found.add((wd, name, last))
        if kind == stat.S_IFLNK and links < _MOST_LINKS:
            links += 1
            target = _target(full)
            here = "/" if target.startswith("/") else here
            ahead += target.split("/")[::-1]
        elif kind == stat.S_IFDIR:
            here = full
        else:
            return ""
    return here


def _watch_tree(directory: str, recursive: bool, watch: Callable[[str], int], found: set[Interest]) -> None:
    ahead = [directory]
    while ahead:
        each = ahead.pop()
        wd = watch(each)
        if wd < 0 and not os.path.isdir(each):
            continue  # removed meanwhile: its parent's watch tells of that
        found.add((wd, "", True))
        if recursive:
            ahead += _directories(each)


def _directories(path: str) -> list[str]:
    """Directories in a directory; symbolic links are none."""
    try:
        with os.scandir(path) as entries:
            return [each.path for each in entries if each.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _kind(path: str) -> int:
    try:
        return stat.S_IFMT(os.lstat(path).st_mode)
    except OSError:
        return 0


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""
