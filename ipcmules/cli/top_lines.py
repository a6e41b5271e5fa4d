"""What `ipcmules top` shows, as lines of text with a style each: pure, of two snapshots and a width.

Whoever draws them (cli/top.py) makes colours of the styles, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ipcmules.cli.shapes import cut, duration, number, size
from ipcmules.cli.top_state import State
from ipcmules.kernel.printable import for_people
from ipcmules.snapshot import Snapshot
from ipcmules.snapshot.rates import NO_FLOW, Rates
from ipcmules.snapshot.values import Directory, Event, Mule, Process, Queue, Signal, Spooler, Worker
from ipcmules.spooler.figures import Figures

#: Styles.
PLAIN, TITLE, BAD, BUSY, DIM = "", "title", "bad", "busy", "dim"
#: What a process's state looks like in one character.
_MARKS = {"waiting": "·", "busy": "#", "running": "#", "loading": "o", "ending": "e", "absent": "!"}
#: So long the app may be in one function before that looks like a problem, seconds.
LONG = 60.0


class Line(NamedTuple):
    """A line, its style, and what is looked into where it is chosen: a key of details()."""

    text: str
    style: str = PLAIN
    key: str = ""


@dataclass(frozen=True)
class Column:
    """A column: its title, how wide it is (negative: to the left), and what it orders by."""

    title: str
    width: int

    def shown(self, text: str) -> str:
        """A text in this column."""
        text = cut(text, abs(self.width))
        return text.ljust(-self.width) if self.width < 0 else text.rjust(self.width)


def _titles(columns: tuple[Column, ...]) -> str:
    return _row(columns, tuple(each.title for each in columns))


def _row(columns: tuple[Column, ...], texts: tuple[str, ...]) -> str:
    return " ".join(column.shown(text) for column, text in zip(columns, texts, strict=True))


def header(seen: Snapshot, rates: Rates, width: int) -> list[Line]:
    """What is always there: the bus at a glance."""
    state = BAD if seen.state not in ("ready", "starting") or seen.reload_failed else TITLE
    first = f"bus {seen.bus}: {seen.state}, master pid {seen.master.pid or '-'}"
    if seen.reload_failed:
        first += ", the last reload failed"
    lines = [Line(first, state)]
    for role in ("mule", "spooler", "worker"):
        of_role = [each for each in seen.processes if each.role == role]
        if of_role:
            marks = "".join(_mark(each) for each in of_role)
            lines.append(Line(f"{role}s".ljust(9) + f"{len(of_role):>4} {marks}", _worst(of_role)))
    lines.append(
        Line(
            f"a second  {number(rates.messages)} messages, {number(rates.signals)} signals, "
            f"{number(rates.tasks)} tasks, {number(rates.failures)} exceptions"
        )
    )
    waiting = [_waiting(each) for each in seen.queues if each.left]
    full = any(each.messages >= each.depth or _is_old(each) for each in seen.queues)
    lines.append(Line(f"queues    {', '.join(waiting) or 'empty'}", BAD if full else PLAIN))
    if seen.tasks.directories:
        lines.append(_tasks(seen))
    if seen.letters.dead or seen.letters.waiting:
        lines.append(Line(f"messages  {seen.letters.dead} dead letters, {seen.letters.waiting} kept", BAD))
    held = [f"{each.number} by pid {each.holder}" for each in seen.locks if each.holder]
    if held:
        waits = sum(each.waiters for each in seen.locks)
        lines.append(Line(f"locks     {', '.join(held)}{f', {waits} wait' if waits else ''}"))
    return [each._replace(text=cut(each.text, width)) for each in lines]


def _waiting(each: Queue) -> str:
    behind = f" +{number(each.waiting)}" if each.waiting else ""
    oldest = f" {duration(each.oldest)}" if each.oldest else ""
    return f"{each.endpoint} {each.messages}/{each.depth}{behind}{oldest}"


def _tasks(seen: Snapshot) -> Line:
    found = seen.tasks.directories
    counts = {
        what: sum(getattr(each, what) for each in found)
        for what in ("waiting", "scheduled", "running", "failing", "dead")
    }
    oldest = max((each.oldest for each in found if each.oldest is not None), default=None)
    text = ", ".join(f"{number(count)} {what}" for what, count in counts.items())
    text += f", the oldest {duration(oldest)}" if oldest is not None else ""
    text += ", paused" if any(each.paused for each in found) else ""
    return Line(f"tasks     {text}", BAD if counts["dead"] or counts["failing"] else PLAIN)


def _mark(each: Process) -> str:
    if each.pid and each.kind and each.doing_since >= LONG:
        return "*"
    return _MARKS.get(each.state, "?") if each.pid else "!"


def _worst(found: Sequence[Process]) -> str:
    return BAD if any(_mark(each) in "!*" for each in found) else PLAIN


_PROCESSES = (
    Column("process", -10),
    Column("pid", 7),
    Column("state", -20),
    Column("for", 5),
    Column("msg/s", 6),
    Column("sig/s", 6),
    Column("exc", 5),
    Column("starts", 6),
    Column("mem", 5),
    Column("cpu", 4),
)

#: What processes are ordered by, for each key: the title, and a value, the largest first.
Order = tuple[str, Callable[[Process, Rates], tuple[float, ...]]]
ORDERS: dict[str, Order] = {
    "n": ("number", lambda _each, _rates: ()),
    "c": ("cpu", lambda each, rates: (rates.of(each).cpu,)),
    "m": ("memory", lambda each, _rates: (each.memory,)),
    "r": ("rate", lambda each, rates: (rates.of(each).messages + rates.of(each).signals,)),
    "d": ("doing", lambda each, _rates: (each.doing_since, each.since if each.state == "busy" else 0)),
    "x": ("exceptions", lambda each, _rates: (each.all_exceptions,)),
    "s": ("starts", lambda each, _rates: (each.respawns,)),
}


def processes(seen: Snapshot, rates: Rates, width: int, order: str = "n") -> list[Line]:
    """A line a process, under a line of titles."""
    found = sorted(seen.processes, key=lambda each: ORDERS[order][1](each, rates), reverse=order != "n")
    title = _titles(_PROCESSES) + " program"
    lines = [Line(title, TITLE), *(_process(each, rates) for each in found)]
    return [each._replace(text=cut(each.text, width)) for each in lines]


def _process(each: Mule | Spooler | Worker, rates: Rates) -> Line:
    rate = rates.of(each)
    state = (each.doing or each.state) if each.pid else "not running"
    since = each.doing_since if each.kind else each.since
    texts = (
        each.name,
        str(each.pid or "-"),
        state,
        duration(since) if each.pid else "-",
        number(rate.messages),
        number(rate.signals),
        number(each.all_exceptions),
        number(each.respawns + 1),
        size(each.memory) if each.pid else "-",
        f"{rate.cpu * 100:.0f}%",
    )
    row = _row(_PROCESSES, texts)
    mark = _mark(each)
    style = BAD if mark in "!*" else BUSY if mark == "#" else PLAIN
    return Line(f"{row} {for_people(program(each))}", style, each.name)


def program(each: Mule | Spooler | Worker) -> str:
    """What a process runs."""
    if isinstance(each, Mule):
        return each.program
    if isinstance(each, Worker):
        return "app" if each.launched else "attached"
    return each.queue or each.directory


_FUNCTIONS = (
    Column("function", -30),
    Column("run/s", 6),
    Column("now", 4),
    Column("done", 7),
    Column("failed", 7),
    Column("killed", 6),
    Column("dead", 6),
    Column("p50", 6),
    Column("p95", 6),
    Column("last", 8),
)


_DIRECTORIES = (
    Column("directory", -20),
    Column("wait", 6),
    Column("later", 6),
    Column("now", 4),
    Column("failing", 7),
    Column("dead", 6),
    Column("oldest", 6),
    Column("in/s", 6),
    Column("out/s", 6),
)


def functions(seen: Snapshot, rates: Rates, width: int) -> list[Line]:
    """A line a function of tasks, and one a spool directory."""
    lines = [Line(_titles(_FUNCTIONS), TITLE)]
    lines += [_function(each, seen, rates) for each in seen.tasks.functions]
    if not seen.tasks.functions:
        lines.append(Line("no task has run since the bus was started", DIM))
    if seen.tasks.directories:
        lines += [Line(""), Line(_titles(_DIRECTORIES), TITLE)]
        lines += [_directory(each, rates) for each in seen.tasks.directories]
    return [each._replace(text=cut(each.text, width)) for each in lines]


def _function(each: Figures, seen: Snapshot, rates: Rates) -> Line:
    texts = (
        for_people(each.function),
        number(rates.functions.get(each.function, 0.0)),
        number(each.running),
        number(each.done),
        number(each.failed),
        number(each.killed),
        number(each.dead),
        duration(each.quantile(0.5)),
        duration(each.quantile(0.95)),
        f"{duration(max(seen.time - each.last, 0.0))} ago" if each.last else "-",
    )
    row = _row(_FUNCTIONS, texts)
    bad = bool(each.dead or each.killed)
    return Line(row, BAD if bad else BUSY if each.running else PLAIN, f"task {each.function}")


_SIGNALS = (
    Column("signal", 6),
    Column("handler", -24),
    Column("target", -10),
    Column("runs", 7),
    Column("exc", 5),
    Column("wait", 5),
    Column("now", 4),
    Column("took", 6),
    Column("last", 8),
)


def signals(seen: Snapshot, _rates: Rates, width: int) -> list[Line]:
    """A line a signal, and one an event that raises one."""
    lines = [Line(_titles(_SIGNALS), TITLE)]
    lines += [_signal(each, seen.time) for each in seen.signals]
    if seen.events is None:
        lines.append(Line("the master does not tell its events", BAD))
    elif seen.events:
        lines += [Line(""), Line("events: schedule, next, last, late, ticks, skips", TITLE)]
        lines += [_event(each, seen.time) for each in seen.events]
    return [each._replace(text=cut(each.text, width)) for each in lines]


def _signal(each: Signal, now: float) -> Line:
    texts = (
        str(each.number),
        for_people(each.handler),
        for_people(each.target),
        number(each.runs),
        number(each.exceptions),
        number(each.pending),
        number(each.running),
        duration(each.last_duration) if each.last_duration is not None else "-",
        f"{duration(max(now - each.last, 0.0))} ago" if each.last is not None else "-",
    )
    row = _row(_SIGNALS, texts)
    return Line(row, BAD if each.exceptions else BUSY if each.running else PLAIN)


def _event(each: Event, now: float) -> Line:
    what = f"signal {each.signal}" if each.signal is not None else "command"
    following = f"in {duration(max(each.next - now, 0.0))}" if each.next is not None else "-"
    last = f"{duration(max(now - each.last, 0.0))} ago" if each.last is not None else "-"
    late = f"late {duration(each.late)}" if each.late else "-"
    text = f"{what}: {each.schedule}, {following}, {last}, {late}, {each.ticks}, {each.skips}  {each.handler}"
    return Line(for_people(text), BAD if each.late and each.late >= LONG else PLAIN)


_QUEUES = (
    Column("queue", -20),
    Column("", 10),
    Column("in it", 7),
    Column("behind", 6),
    Column("oldest", 6),
    Column("in/s", 6),
    Column("out/s", 6),
    Column("each", 5),
)


def queues(seen: Snapshot, rates: Rates, width: int) -> list[Line]:
    """Queues, locks, caches, counters."""
    # Those in which something happens come first: there may be many mules.
    found = sorted(seen.queues, key=lambda each: not (each.left or _moves(each, rates)))
    lines = [Line(_titles(_QUEUES), TITLE), *(_queue(each, rates) for each in found), Line("")]
    lines.append(Line("lock", TITLE))
    lines += [
        Line(f"{each.number:>5} {f'pid {each.holder}' if each.holder else 'free'}, {each.waiters} wait")
        for each in seen.locks
    ]
    if seen.caches:
        lines += [Line(""), Line("cache", TITLE)]
        lines += [
            Line(f"{each.name}: {each.entries or 0} entries, {size(each.used or 0)} of {size(each.size)}")
            for each in seen.caches
        ]
    if seen.counters:
        lines += [Line(""), Line("counter", TITLE)]
        lines += [Line(f"{name}: {value}") for name, value in seen.counters.items()]
    return [each._replace(text=cut(each.text, width)) for each in lines]


def _moves(each: Queue, rates: Rates) -> bool:
    flow = rates.queues.get(each.endpoint, NO_FLOW)
    return bool(flow.come or flow.gone)


def _queue(each: Queue, rates: Rates) -> Line:
    filled = round(10 * each.messages / each.depth) if each.depth else 0
    flow = rates.queues.get(each.endpoint)
    texts = (
        for_people(each.endpoint),
        "#" * min(filled, 10) + "·" * (10 - filled),
        f"{each.messages}/{each.depth}",
        number(each.waiting),
        duration(each.oldest) if each.oldest is not None else "-",
        number(flow.come) if flow is not None else "-",
        number(flow.gone) if flow is not None else "-",
        size(each.size),
    )
    return Line(_row(_QUEUES, texts), BAD if each.messages >= each.depth or _is_old(each) else PLAIN)


def _is_old(each: Queue) -> bool:
    return each.oldest is not None and each.oldest >= LONG


def _directory(each: Directory, rates: Rates) -> Line:
    flow = rates.directories.get(each.path, NO_FLOW)
    texts = (
        for_people(each.name or each.path[-20:]),
        *(number(count) for count in (each.waiting, each.scheduled, each.running, each.failing, each.dead)),
        duration(each.oldest) if each.oldest is not None else "-",
        number(flow.come),
        number(flow.gone),
    )
    paused = f" paused: {', '.join(each.paused)}" if each.paused else ""
    row = _row(_DIRECTORIES, texts) + for_people(paused)
    return Line(row, BAD if each.dead or each.failing else PLAIN)


#: What can be looked at, in the order of the Tab key: a title, and what makes its lines.
Page = Callable[[Snapshot, Rates, int], list[Line]]
PAGES: tuple[tuple[str, Page], ...] = (
    ("processes", processes),
    ("tasks", functions),
    ("signals", signals),
    ("queues", queues),
)


def lines_of(state: State, width: int) -> list[Line]:
    """All that is shown: the header, an empty line, the page."""
    return [*header(state.seen, state.rates, width), Line(""), *page_of(state, width)]


def page_of(state: State, width: int) -> list[Line]:
    """The lines of the page that is chosen, its titles first."""
    title, page = PAGES[state.page]
    if title == "processes":
        return processes(state.seen, state.rates, width, state.order)
    return page(state.seen, state.rates, width)
