"""How a process tells why it ended by an exception: in a file for the master, or in the log.

While the bus starts, the master makes its StartError of the text (or logs it, if the start goes on);
later the process logs it itself. Knows membership and the log.
"""

from __future__ import annotations

import importlib
import os
import traceback
from types import TracebackType

from ipcmules.bus import log, table
from ipcmules.bus.places import PACKAGE, RUNTIME_VARIABLE, Places
from ipcmules.errors import IpcMulesError
from ipcmules.kernel import exhaustion
from ipcmules.kernel.interruption import opened
from ipcmules.kernel.printable import worded
from ipcmules.member import membership

#: Tracebacks longer than this keep their beginning and their end.
_LONGEST = 60_000
_OURS = PACKAGE + os.sep
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW


def tell(process: str, error: BaseException) -> None:
    """Report that a process ends by an exception. process: its name in files, e.g. 'mule3'."""
    member = membership.peek()
    words = "" if member is None or _app_frames(error) else _refused(error) or _removed(member.where, error)
    text = words or describe(error)
    if member is not None and _is_awaited(member.table.cells) and leave(member.where, process, text):
        return
    if words:
        log.event("error", f"this process ends: {words}")
    else:
        log.failure("ended by an exception:", error, text)


def _refused(error: BaseException) -> str:
    """What to say where the system had no more of something; '' if it is not that."""
    if not isinstance(error, OSError) or not exhaustion.refused(error):
        return ""
    return str(exhaustion.explain(error, "the system refused it something"))


def _removed(where: Places, error: BaseException) -> str:
    """What to say where a file of the bus that a process needs at its start is not there; '' if it is not
    that.
    """
    path = error.filename if isinstance(error, FileNotFoundError) else None
    if not isinstance(path, str) or not path.startswith(where.runtime + os.sep):
        return ""
    return (
        f"{path} is not there: somebody removes files of this bus while it runs, which the master makes "
        f"again. Set {RUNTIME_VARIABLE} to a directory that is left alone"
    )


def _is_awaited(cells: memoryview) -> bool:
    """True while the master makes something of the text: while the bus starts, and while it reloads."""
    return bool(cells[table.H_STATE] == table.STARTING or cells[table.H_RELOADS] != cells[table.H_RELOADED])


def describe(error: BaseException) -> str:
    """An exception as text: its traceback from the app's first frame on, or our own error's message alone."""
    if isinstance(error, IpcMulesError) and error.__traceback__ is not None and _app_frames(error) is None:
        return worded(error)
    frames = _app_frames(error)
    if frames is None and isinstance(error, (SyntaxError, ImportError)):
        # A file that cannot be compiled or a module that is not there: none of the app's lines has run yet.
        return "".join(traceback.format_exception_only(error)).rstrip()
    frames = frames or error.__traceback__
    text = "".join(traceback.format_exception(type(error), error, frames)).rstrip()
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]}\n[...]\n{text[-_LONGEST // 2 :]}"
    return text


def _app_frames(error: BaseException) -> TracebackType | None:
    """The traceback from the first frame that is neither ours nor the import system's, if any."""
    frames = error.__traceback__
    while frames is not None:
        name = frames.tb_frame.f_code.co_filename
        if not name.startswith((_OURS, "<frozen importlib")) and name != importlib.__file__:
            return frames
        frames = frames.tb_next
    return None


def leave(where: Places, process: str, text: str) -> bool:
    """Leave a text for the master. False where that cannot be: then it is for the log."""
    try:
        with opened(where.failure(process), _FLAGS) as file:
            file.write(text.encode("utf-8", "replace"))
    except OSError:
        return False
    return True
