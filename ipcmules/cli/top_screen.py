"""The screen of `ipcmules top`: curses draws the lines of top_lines.py, and keys change the state."""

from __future__ import annotations

import curses
import os
import select
import time

from ipcmules.cli import top_details, top_lines
from ipcmules.cli.shapes import cut
from ipcmules.cli.top_lines import BAD, BUSY, DIM, ORDERS, PAGES, TITLE, Line
from ipcmules.cli.top_state import State
from ipcmules.errors import IpcMulesError

_ESCAPE, _TAB, _ENTER = 27, 9, (10, 13, curses.KEY_ENTER)
#: Milliseconds after which an Escape is a key of its own.
_ESCAPE_DELAY = 25
_KEYS = "q end  Tab page  Enter look into  Esc back  space hold  order by "
#: The widest that fits is shown.
_HELPS = (
    _KEYS + " ".join(f"{key}:{name}" for key, (name, _value) in ORDERS.items()),
    _KEYS + " ".join(ORDERS),
    "q end",
)


class Screen:
    """Draws until somebody presses q."""

    def __init__(self, window: curses.window, state: State, interval: float) -> None:
        self._window = window
        self._state = state
        self._interval = interval
        self._chosen = 0
        self._first = 0
        #: The chosen line of the page behind what is looked into.
        self._outside = 0
        self._holds = False
        self._problem = ""
        self._styles = _styles()
        curses.set_escdelay(_ESCAPE_DELAY)

    def run(self) -> None:
        """Look and draw, at each key and each interval."""
        self._look()
        due = time.monotonic() + self._interval
        while True:
            self._draw()
            try:
                keys = self._keys(due)
            except KeyboardInterrupt:
                return
            for key in keys:
                if key in (ord("q"), ord("Q")):
                    return
                self._press(key)
            if time.monotonic() >= due:
                due = time.monotonic() + self._interval
                if not self._holds:
                    self._look()

    def _keys(self, due: float) -> list[int]:
        """The keys that are pressed until then; a change of the terminal's size is one (curses.KEY_RESIZE).

        curses itself waits only for the rest of a key: where its timeout ends within one, that is lost.
        """
        select.select([0], [], [], max(due - time.monotonic(), 0.0))
        self._window.timeout(2 * _ESCAPE_DELAY)
        keys = []
        while select.select([0], [], [], 0)[0] and (key := self._window.getch()) != -1:
            keys.append(key)
        self._window.timeout(0)
        while (key := self._window.getch()) != -1:
            keys.append(key)
        return keys

    def _look(self) -> None:
        try:
            self._state.look()
            self._problem = ""
        except (IpcMulesError, OSError) as error:
            self._problem = str(error)

    def _press(self, key: int) -> None:
        state = self._state
        if key == _TAB:
            state.page, state.inside = (state.page + 1) % len(PAGES), ""
            self._chosen = self._first = 0
            self._look()
        elif key == ord(" "):
            self._holds = not self._holds
        elif key in (_ESCAPE, curses.KEY_LEFT, curses.KEY_BACKSPACE, 127):
            if state.inside:
                state.inside, self._chosen = "", self._outside
        elif key in _ENTER or key == curses.KEY_RIGHT:
            lines = self._lines()
            if not state.inside and 0 < self._chosen < len(lines):
                state.inside, self._outside = lines[self._chosen].key, self._chosen
                if state.inside:
                    self._chosen = self._first = 0
        elif key in (curses.KEY_DOWN, ord("j")):
            self._chosen += 1
        elif key in (curses.KEY_UP, ord("k")):
            self._chosen -= 1
        elif key == curses.KEY_NPAGE:
            self._chosen += 10
        elif key == curses.KEY_PPAGE:
            self._chosen -= 10
        elif 0 < key < 128 and chr(key) in ORDERS:
            state.order = chr(key)

    def _lines(self) -> list[Line]:
        state, width = self._state, self._window.getmaxyx()[1]
        if state.inside:
            return top_details.details(state.inside, state.seen, state.rates, width)
        return top_lines.page_of(state, width)

    def _draw(self) -> None:
        height, width = self._window.getmaxyx()
        self._window.erase()
        head = top_lines.header(self._state.seen, self._state.rates, width)
        tabs = " ".join(f"[{t}]" if n == self._state.page else f" {t} " for n, (t, _p) in enumerate(PAGES))
        held = "  held: space goes on" if self._holds else ""
        clock = time.strftime("%H:%M:%S", time.localtime(self._state.seen.time))
        head.append(Line(cut(f"{tabs}  {clock}{held}", width), DIM))
        row = 0
        for row, line in enumerate(head[: height - 1]):
            self._put(row, line)
        self._body(row + 1, height - row - 2)
        keys = next((each for each in _HELPS if len(each) < width), "")
        self._put(height - 1, Line(cut(self._problem or keys, width), BAD if self._problem else DIM))
        self._window.refresh()

    def _body(self, top: int, height: int) -> None:
        """The page from row `top` on: its titles stay, the rest moves so that the chosen line is seen."""
        lines = self._lines()
        if height < 1 or not lines:
            return
        self._chosen = max(1, min(self._chosen, len(lines) - 1))
        room = height - 1
        self._first = max(1, min(self._first, self._chosen), self._chosen - room + 1)
        self._put(top, lines[0])
        for row, at in enumerate(range(self._first, min(self._first + room, len(lines))), top + 1):
            self._put(row, lines[at], chosen=at == self._chosen and not self._state.inside)

    def _put(self, row: int, line: Line, chosen: bool = False) -> None:
        style = self._styles.get(line.style, curses.A_NORMAL) | (curses.A_REVERSE if chosen else 0)
        _height, width = self._window.getmaxyx()
        try:
            self._window.addnstr(row, 0, line.text.ljust(width) if chosen else line.text, width, style)
        except curses.error:
            pass  # the last column of the last row: it is there, only the cursor has no place (addch(3))


def _styles() -> dict[str, int]:
    """Attributes by style; no colours where the terminal has none, or NO_COLOR asks for none."""
    found = {TITLE: curses.A_BOLD, BAD: curses.A_BOLD, BUSY: curses.A_NORMAL, DIM: curses.A_DIM}
    try:
        curses.curs_set(0)
    except curses.error:
        pass  # this terminal shows it always
    if os.environ.get("NO_COLOR") or not curses.has_colors():
        return found
    curses.use_default_colors()
    curses.init_pair(1, curses.COLOR_RED, -1)
    curses.init_pair(2, curses.COLOR_GREEN, -1)
    return {**found, BAD: curses.color_pair(1) | curses.A_BOLD, BUSY: curses.color_pair(2)}
