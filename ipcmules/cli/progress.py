"""A line on the terminal while something takes longer than a second, gone when it is over. Knows no bus."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator

from ipcmules.cli.shapes import cut, duration

#: Seconds before anything is shown, and between two lines.
_FIRST, _NEXT = 1.0, 0.5


@contextlib.contextmanager
def shown(what: str, more: Callable[[], str] = str) -> Iterator[None]:
    """Show what is being done, and for how long, on stderr if that is a terminal. more: what else to say."""
    if not sys.stderr.isatty():
        yield
        return
    over = threading.Event()
    thread = threading.Thread(target=_show, args=(what, more, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _show(what: str, more: Callable[[], str], over: threading.Event) -> None:
    began, drawn = time.monotonic(), False
    wait = _FIRST
    while not over.wait(wait):
        wait = _NEXT
        text = f"{what}: {duration(time.monotonic() - began)}{f', {said}' if (said := more()) else ''}"
        print(
            f"\r\x1b[K{cut(text, shutil.get_terminal_size().columns - 1)}",
            end="",
            file=sys.stderr,
            flush=True,
        )
        drawn = True
    if drawn:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
