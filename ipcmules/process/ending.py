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

from ipcmules.bus import log, table
from ipcmules.member import membership
from ipcmules.member.membership import Membership
from ipcmules.messages.receive.inbox import Inbox
from ipcmules.process import child

#: A process that ends has at least so long for it, seconds.
_LEAST = 1.0


def run_and_exit(body: Callable[[], None], tell: Callable[[BaseException], None]) -> NoReturn:
    """Run body, then end the process: with code 0 when it returns, SystemExit's code, or 1 if it raises.

    tell is called with what it raised.
    """
    code, clean = 0, False
    try:
        code, clean = _run(body, tell)
        _mark_ending()
        _finish(clean, code)
    except SystemExit:
        # The handler of a stop raised it when the body had ended already: what is left of the end is done.
        _quietly(lambda: _finish(clean, code))
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
        with child.guarded("the program of this process"):
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


def _finish(clean: bool, code: int) -> None:
    member = membership.peek()
    inbox = member.inbox if member is not None else None
    _put_down(inbox, clean, everything=False)
    if member is not None:
        _bound(max(member.description.config.mercy, _LEAST), code, member)
    # What Py_FinalizeEx does: wait for the threads that are not daemons, then the exit functions.
    threading._shutdown()  # type: ignore[attr-defined] # the interpreter's own hook, without a public name
    _put_down(inbox, clean, everything=True)  # what the daemon threads hold
    atexit._run_exitfuncs()
    if member is not None:
        member.close()


def _put_down(inbox: Inbox | None, clean: bool, everything: bool) -> None:
    """What a receive took and did not return is the successor's; what is in hand is done if all went well."""
    if inbox is None:
        return
    inbox.leave()
    if clean:
        inbox.done(everything)


def _bound(seconds: float, code: int, member: Membership) -> None:
    """End the process after so long, whatever keeps it: a thread that is no daemon, an exit function.

    At a stop or a reload the master would see to it; a process that ends by itself has nobody else.
    """

    def end() -> None:
        left = [each.name for each in threading.enumerate() if not each.daemon and each is not main]
        what = f"threads that are no daemons: {', '.join(left)}" if left else "what it does at its end"
        log.event("warning", f"ended, as {seconds:g} s of mercy are over: it waited for {what}")
        _quietly(member.close)
        _quietly(sys.stdout.flush)
        _quietly(sys.stderr.flush)
        os._exit(code & 0xFF)

    main = threading.current_thread()
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.name = "ipcmules-ending"
    try:
        timer.start()
    except RuntimeError:
        pass  # no thread can be started: it ends as it always did


def _quietly(function: Callable[[], object]) -> None:
    try:
        function()
    except BaseException:
        pass  # the process is ending; there is nobody left to tell
