"""`ipcmules top`: a bus, live; piped, or with --once, once as text. The screen is top_screen.py's."""

from __future__ import annotations

import locale
import shutil
import sys
import time

import click

from ipcmules.cli.target import bus_option, bus_places
from ipcmules.cli.top_lines import ORDERS, PAGES, lines_of
from ipcmules.cli.top_state import State
from ipcmules.errors import ConfigError

#: Columns of what is piped; seconds between the two looks of which rates are made.
_WIDE, _SHORT = 120, 0.5


@click.command()
@bus_option
@click.option("--once", is_flag=True, help="Print it once, as text; so it does where it is piped.")
@click.option("--interval", type=float, default=1.0, show_default=True, metavar="S", help="Look every S s.")
@click.option(
    "--sort",
    type=click.Choice([name for name, _value in ORDERS.values()]),
    default="number",
    show_default=True,
    help="Order processes so.",
)
@click.option(
    "--page",
    type=click.Choice([title for title, _page in PAGES]),
    default="processes",
    show_default=True,
    help="Begin with this page.",
)
def command(bus: str | None, once: bool, interval: float, sort: str, page: str) -> int:
    """Show what a bus does, live.

    \b
    Tab            the next page: processes, tasks, signals, queues
    up, down       choose a line
    Enter, Esc     look into a process or a function's tasks, and back
    n c m r d x s  order processes by number, cpu, memory, rate, doing,
                   exceptions, starts
    space, q       stop and go on; end
    """
    where = bus_places(bus)
    if not interval >= 0.1:
        raise ConfigError(f"--interval {interval:g}: give 0.1 or more")
    order = next(key for key, (name, _value) in ORDERS.items() if name == sort)
    number = next(at for at, (title, _page) in enumerate(PAGES) if title == page)
    state = State(where, order, number)
    if once or not sys.stdout.isatty():
        return _print(state)
    try:
        import curses

        from ipcmules.cli.top_screen import Screen
    except ImportError as error:
        raise ConfigError(f"this Python has no curses ({error}): use --once") from error
    locale.setlocale(locale.LC_CTYPE, "")  # curses writes in the encoding of the terminal (ncurses(3X))
    try:
        curses.wrapper(lambda window: Screen(window, state, interval).run())
    except curses.error as error:
        raise ConfigError(f"this terminal cannot be drawn on ({error}): set TERM, or use --once") from error
    return 0


def _print(state: State) -> int:
    state.look()
    if state.seen.generation:
        time.sleep(_SHORT)  # rates are of two looks
        state.look()
    width = shutil.get_terminal_size((_WIDE, 30)).columns if sys.stdout.isatty() else _WIDE
    for line in lines_of(state, width):
        click.echo(line.text)
    return 0 if state.seen.state == "ready" else 1
