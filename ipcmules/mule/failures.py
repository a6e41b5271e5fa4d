"""How a process tells why it ended by an exception: in a file for the master, or in the log.

While the bus starts, the master makes its StartError of the text (or logs it, if the start goes on);
later the process logs it itself. Knows membership and the log.
"""

from __future__ import annotations

import importlib
import os
import traceback
from types import TracebackType

from ipcmules import log, membership, table
from ipcmules.errors import IpcMulesError
from ipcmules.places import PACKAGE, Places

#: Tracebacks longer than this keep their beginning and their end.
_LONGEST = 60_000
_OURS = PACKAGE + os.sep


def tell(process: str, error: BaseException) -> None:
    """Report that a process ends by an exception. process: its name in files, e.g. 'mule3'."""
    text = describe(error)
    member = membership.peek()
    if member is not None and _is_awaited(member.table.cells):
        leave(member.where, process, text)
    else:
        log.event("error", f"ended by an exception:\n{text}")


def _is_awaited(cells: memoryview) -> bool:
    """True while the master makes something of the text: while the bus starts, and while it reloads."""
    return bool(cells[table.H_STATE] == table.STARTING or cells[table.H_RELOADS] != cells[table.H_RELOADED])


def describe(error: BaseException) -> str:
    """An exception as text: its traceback from the app's first frame on, or our own error's message alone."""
    if isinstance(error, IpcMulesError) and error.__traceback__ is not None and _app_frames(error) is None:
        return str(error)
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


def leave(where: Places, process: str, text: str) -> None:
    """Leave a text for the master."""
    descriptor = os.open(where.failure(process), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
