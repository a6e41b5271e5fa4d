"""Makes every public function of an attached process, and interrupts it at every place.

    python -c "import interrupted_program; interrupted_program.main()" STEP [NAME ...]      with IPCMULES_BUS

(so that no module is being loaded while it registers). Prints a line a function: how many places it has, on a
bus that was joined before, and on one that is joined by the call ("first"). After each interruption the same
call must work, in this thread and in another: nothing stays locked, though the exceptions are kept, with all
frames in their tracebacks. In the end no descriptor has stayed open.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable

import ipcmules
from interruptions import Interruption, every, interrupt
from ipcmules.api import presence
from ipcmules.member import membership
from public_calls import CALLS

#: What is interrupted of coroutines: not the standard library, whose event loop a handler that raises breaks.
OURS = os.path.dirname(ipcmules.__file__) + os.sep
#: So many descriptors more than before are what a thread that ends just now has open.
_SPARE = 1


def elsewhere(call: Callable[[], object], what: str) -> None:
    """The call in another thread ends, and raises nothing."""
    failed: list[BaseException] = []

    def body() -> None:
        try:
            call()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(10)
    if thread.is_alive():
        frame = sys._current_frames()[thread.ident or 0]
        raise SystemExit(f"{what}: another thread stands still\n{''.join(traceback.format_stack(frame))}")
    if failed:
        traceback.print_exception(failed[0])
        raise SystemExit(f"{what}: in another thread: {failed[0]!r}")


def descriptors() -> Counter[str]:
    """What is open in this process."""
    found: Counter[str] = Counter()
    for each in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the list's own
            found[os.readlink(f"/proc/self/fd/{each}")] += 1
    return found


def leave() -> None:
    presence.stop()
    membership.leave(for_good=True)


def check(name: str, call: Callable[[], object], first: bool, step: int) -> None:
    call()
    elsewhere(call, name)

    def made() -> object:
        return call()

    within = OURS if name.startswith("aio.") else ""
    places = 0
    kept: list[object] = []
    gc.collect()
    before = descriptors()
    for where, result in every(made, interrupt, leave if first else lambda: None, step, within):
        places += 1
        what = f"{name}{', first' if first else ''}, interrupted at {where}"
        if not isinstance(result, Interruption):
            print(f"{what}: swallowed", file=sys.stderr)
        kept.append(result)
        try:
            call()
        except BaseException as error:
            traceback.print_exc()
            raise SystemExit(f"{what}: {error!r}") from None
        elsewhere(call, what)
    kept.clear()
    result = None
    if name == "attach":
        leave()  # interrupted between the call and the beginning of its with statement: it is attached
    gc.collect()  # their frames hold tables of buses that this process has left
    left = descriptors() - before
    if left.total() > _SPARE:
        raise SystemExit(f"{name}{', first' if first else ''}: these stay open: {left}")
    print(f"{name}{', first' if first else ''}: {places}", flush=True)


def main() -> None:
    step = int(sys.argv[1])
    for name, call in CALLS.items():
        if len(sys.argv) > 2 and name not in sys.argv[2:]:
            continue
        check(name, call, first=False, step=1 + step // 20)
        check(name, call, first=True, step=step)
    print("done")
