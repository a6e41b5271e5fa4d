"""Keys that are made of a call's arguments, as unique="mail-{user}", and the files in which they are known.

Such a file is locked while it is used, and one whose time is over is removed by whoever gets its lock: so who
has locked it looks whether it still has its name. Knows files; runs nothing.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Collection, Mapping
from string import Formatter
from typing import Any

from ipcmules.errors import SpoolError
from ipcmules.kernel import files
from ipcmules.kernel.exhaustion import importing
from ipcmules.kernel.printable import shown
from ipcmules.spooler.calls import ENVELOPE, SpoolFunction

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: Mode of the directories with such files, and of the files.
_DIRECTORY_MODE, _MODE = 0o700, 0o600


def fields(template: str) -> tuple[str, ...]:
    """The arguments that a template names. Raises ValueError for what is no template, or has a field without
    a name."""
    found = []
    for _text, field, _form, _conversion in Formatter().parse(template):
        if field is None:
            continue
        name = field.partition(".")[0].partition("[")[0]
        if not name or name.isdigit():
            raise ValueError("its fields must have names, those of the function's parameters")
        found.append(name)
    return tuple(found)


def key_of(
    template: str, function: SpoolFunction, args: tuple[Any, ...], kwargs: Mapping[str, Any], what: str
) -> str:
    """A template with a call's arguments. what: the word of the decorator, for errors.

    Raises SpoolError for a call that has no such argument, or one that cannot be formatted so; TypeError for
    arguments that the function does not take.
    """
    if not fields(template):
        return template.format()
    given = _named(function, args, kwargs)
    try:
        return template.format_map(given)
    except Exception as error:  # whatever an argument's own __format__ raises
        reason = f"it has no {error}" if isinstance(error, KeyError) else shown(error)
        raise SpoolError(
            f"{function.name}() has {what}={template!r}, and of this call no such key can be made: {reason}"
        ) from error


def _named(function: SpoolFunction, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    if not function.pass_arguments:
        merged = {key: value for each in (*args, kwargs) for key, value in each.items()}
        return {_text(key): _text(value) for key, value in merged.items()}
    own = {key: value for key, value in kwargs.items() if key not in ENVELOPE}
    return function.parameters.by_name(args, own)


def _text(value: Any) -> Any:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def digest(*parts: str) -> str:
    """What stands for a key in a file's name: 32 hexadecimal digits."""
    with importing:
        import hashlib

    # A name of a file may have surrogates (os.fsdecode), which strict UTF-8 refuses.
    packed = [part.encode("utf-8", "surrogatepass") for part in parts]
    data = b"".join(len(each).to_bytes(4, "little") + each for each in packed)
    return hashlib.sha256(data).hexdigest()[:32]


def open_file(path: str) -> int:
    """Open the file of a key, which is made where it is missing, with its directory. Raises OSError."""
    try:
        return os.open(path, _FLAGS, _MODE)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), mode=_DIRECTORY_MODE, exist_ok=True)
        return os.open(path, _FLAGS, _MODE)


def try_lock(file: int, start: int = 0, length: int = 1) -> bool:
    """Lock bytes of an open file, if nobody has. Raises OSError where that cannot be said."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
    except (BlockingIOError, PermissionError):
        return False
    return True


def is_gone(file: int) -> bool:
    """True if a locked file has lost its name: another one has, or will have, that key."""
    return not os.fstat(file).st_nlink


def sweep(directory: str, age: float, is_over: Any = None, skip: Collection[str] = ()) -> int:
    """Remove the files of a directory that were not changed for `age` seconds and that nobody has locked.

    is_over: called with the path; False keeps the file. skip: paths that are left alone. Returns how many.
    """
    count, now = 0, time.time()
    try:
        with os.scandir(directory) as entries:
            old = [
                each.path
                for each in entries
                if each.name.startswith("ipcmules_")
                and abs(now - each.stat(follow_symlinks=False).st_mtime) > age
            ]
    except OSError:
        return 0
    for path in old:
        count += path not in skip and _sweep_one(path, is_over)
    return count


def _sweep_one(path: str, is_over: Any) -> bool:
    try:
        file = os.open(path, _FLAGS & ~os.O_CREAT)
    except OSError:
        return False
    try:
        return try_lock(file, 0, 0) and (is_over is None or is_over(path)) and files.remove(path)
    except OSError:
        return False
    finally:
        os.close(file)
