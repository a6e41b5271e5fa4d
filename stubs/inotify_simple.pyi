"""What ipcmules uses of inotify_simple 2."""

import ctypes
from enum import IntEnum
from io import FileIO
from typing import NamedTuple

_libc: ctypes.CDLL | None

class Event(NamedTuple):
    wd: int
    mask: int
    cookie: int
    name: str

class INotify(FileIO):
    def __init__(self, inheritable: bool = ..., nonblocking: bool = ..., closefd: bool = ...) -> None: ...
    def add_watch(self, path: str, mask: int) -> int: ...
    def rm_watch(self, wd: int) -> None: ...
    def read(self, timeout: int | None = ..., read_delay: int | None = ...) -> list[Event]: ...  # type: ignore[override]  # another signature than FileIO's

def parse_events(data: bytes) -> list[Event]: ...

class flags(IntEnum):
    MODIFY = 0x2
    ATTRIB = 0x4
    CLOSE_WRITE = 0x8
    MOVED_FROM = 0x40
    MOVED_TO = 0x80
    CREATE = 0x100
    DELETE = 0x200
    DELETE_SELF = 0x400
    MOVE_SELF = 0x800
    UNMOUNT = 0x2000
    Q_OVERFLOW = 0x4000
    IGNORED = 0x8000
    ONLYDIR = 0x1000000
    DONT_FOLLOW = 0x2000000
    EXCL_UNLINK = 0x4000000
    ISDIR = 0x40000000
