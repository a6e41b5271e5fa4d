"""Makes every public function of an attached process where the system gives no more descriptors.

    python -c "import refused_program; refused_program.main()" STEP [NAME ...]      with IPCMULES_BUS

Each in a process of its own that has done nothing else, so that all is imported and opened by the call, but
for the bus, which was joined before, or is joined by the call ("first"), or was left ("again"): with no
descriptor left, with one, two, and so on (STEP at a time), until all are enough; where STEP is above 1, each
function in one of these ways alone. It works, or raises an error that says what there is too little of, and
the remedy; and then, with descriptors, it works. Prints a line a function: how often it was refused, and how
often it worked.
"""

from __future__ import annotations

import os
import resource
import sys
import traceback
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

import ipcmules
from ipcmules.api import presence
from ipcmules.kernel import exhaustion
from ipcmules.member import membership
from public_calls import CALLS, double, loop

#: So many tries that worked, one after the other, and nothing is missing. No call makes so many tries.
_ENOUGH, _MOST = 3, 60
_WAYS = ("", "first", "again")
_REFUSED, _WORKED, _WRONG = 3, 4, 5


def _touch(function: Any) -> None:
    """Import what a program imports before it calls: the names of ipcmules in a function's code."""
    if not isinstance(function, FunctionType):
        return
    codes: list[CodeType] = [function.__code__]
    for code in codes:
        for name in code.co_names:
            if name in ipcmules.__all__:
                getattr(ipcmules, name)
        codes += [each for each in code.co_consts if isinstance(each, CodeType)]
    for cell in function.__closure__ or ():
        _touch(cell.cell_contents)


def _leave() -> None:
    presence.stop()
    membership.leave(for_good=True)


def _made(call: Callable[[], object], how: str, allowed: int) -> int:
    """What became of the call, with so many descriptors left."""
    _touch(call)
    loop()
    double()
    if how == "again":
        call()
        _leave()
    elif not how:
        membership.current()
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + allowed, usual[1]))
    error: BaseException | None = None
    try:
        call()
    except BaseException as raised:
        error = raised
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)
    call()
    _leave()
    if error is None:
        return _WORKED
    if isinstance(error, ipcmules.IpcMulesError) and exhaustion.refused(error) and "ulimit -n" in str(error):
        return _REFUSED
    traceback.print_exception(error)
    return _WRONG


def _apart(call: Callable[[], object], how: str, allowed: int) -> int:
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        code = _made(call, how, allowed)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _check(name: str, call: Callable[[], object], how: str, step: int) -> int:
    """Make a call until nothing is missing; how often what came of it is wrong."""
    found: list[int] = []
    wrong = 0
    what = f"{name}{f', {how}' if how else ''}"
    while found[-_ENOUGH:] != [_WORKED] * _ENOUGH:
        left = len(found) * step
        found.append(_apart(call, how, left))
        if found[-1] not in (_REFUSED, _WORKED):
            print(f"{what}, with {left} left: {found[-1]}", file=sys.stderr, flush=True)
            wrong += 1
        if len(found) > _MOST:
            raise SystemExit(f"{what}: it never works")
    print(f"{what}: refused {found.count(_REFUSED)}, worked {found.count(_WORKED)}", flush=True)
    return wrong


def main() -> None:
    """The command line above."""
    step = int(sys.argv[1])
    wrong = 0
    for number, (name, call) in enumerate(CALLS.items()):
        if len(sys.argv) > 2 and name not in sys.argv[2:]:
            continue
        for how in _WAYS if step == 1 else (_WAYS[number % len(_WAYS)],):
            wrong += _check(name, call, how, step)
    print(f"{wrong} wrong" if wrong else "done", flush=True)
    sys.exit(bool(wrong))
