"""How a process forked from the template ends: as a Python program does, but without returning.

Below its frames are those of the template's loop, which must not run again; so what the interpreter
does at its end is done here, then os._exit. Knows the standard library, the log and membership.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

from ipcmules import log, membership, table


def run_and_exit(body: Callable[[], None], tell: Callable[[BaseException], None]) -> NoReturn:
    """Run body, then end the process: with code 0 when it returns, SystemExit's code, or 1 if it raises.

    tell is called with what it raised.
    """
    code = 1
    try:
        code, clean = _run(body, tell)
        _mark_ending()
        _finish(clean)
    except BaseException:
        code = code or 1
        _quietly(lambda: log.exception("ending failed:"))
    finally:
        _quietly(sys.stdout.flush)
        _quietly(sys.stderr.flush)
        os._exit(code & 0xFF)


def _run(body: Callable[[], None], tell: Callable[[BaseException], None]) -> tuple[int, bool]:
    """The exit code, and whether what the process has in hand counts as done."""
    try:
        body()
    except SystemExit as end:
        return _exit_code(end, tell), True
    except BaseException as error:
        tell(error)
        return 1, False
    return 0, True


def _exit_code(end: SystemExit, tell: Callable[[BaseException], None]) -> int:
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        return end.code
    member = membership.peek()
    if member is not None and member.table.cells[table.H_STATE] == table.STARTING:
        tell(end)  # the start fails of it, so its error says this
    else:
        print(end.code, file=sys.stderr)
    return 1


def _mark_ending() -> None:
    member = membership.peek()
    if member is not None and member.role in ("mule", "spooler"):
        record = member.table.record(member.role, member.number)
        member.table.cells[record + table.R_STATE] = table.ENDING


def _finish(clean: bool) -> None:
    member = membership.peek()
    inbox = member.inbox if clean and member is not None else None
    if inbox is not None:
        inbox.done()
    # What Py_FinalizeEx does: wait for the threads that are not daemons, then the exit functions.
    threading._shutdown()  # type: ignore[attr-defined] # the interpreter's own hook, without a public name
    if inbox is not None:
        inbox.done(everything=True)  # what the threads held when they ended
    atexit._run_exitfuncs()
    if member is not None:
        member.close(flush_seconds=max(member.description.config.mercy, 0.0))


def _quietly(function: Callable[[], object]) -> None:
    try:
        function()
    except BaseException:
        pass  # the process is ending; there is nobody left to tell
