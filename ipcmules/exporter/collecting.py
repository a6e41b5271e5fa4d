"""Prometheus' view of a snapshot. Names follow its conventions; docs/monitoring.md lists them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ipcmules.bus.places import Places
from ipcmules.bus.version import __version__
from ipcmules.exporter.steady import Steady
from ipcmules.snapshot import Snapshot, take
from ipcmules.snapshot.ages import Ages
from ipcmules.spooler import figures
from ipcmules.spooler.figures import Figures

#: Labels and a value.
Row = tuple[tuple[str, ...], float]
#: Where the buckets of task durations end: every eighth of figures.py, from a millisecond to over an hour.
_BOUNDS = tuple(range(40, 136, 8))


class BusCollector(Collector):
    """Collects a snapshot for each scrape."""

    def __init__(self, where: Places) -> None:
        self._where = where
        self._steady = Steady()
        self._ages = Ages()
        self._turn = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client. Every metric has the label `bus`."""
        with self._turn:  # looks are remembered in their order
            seen = self._ages.of(take(self._where, events=True))
        self._steady.begin(seen.generation)
        yield from self._bus(seen)
        yield from self._processes(seen)
        yield from self._queues(seen)
        yield from self._signals(seen)
        yield from self._events(seen)
        yield from self._tasks(seen)
        yield from self._state(seen)

    def _gauge(self, name: str, text: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
        family = GaugeMetricFamily(f"ipcmules_{name}", text, labels=("bus", *labels))
        for values, number in rows:
            family.add_metric([self._where.bus, *values], number)
        return family

    def _counter(self, name: str, text: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
        family = CounterMetricFamily(f"ipcmules_{name}", text, labels=("bus", *labels))
        for values, number in rows:
            family.add_metric([self._where.bus, *values], self._steady.value((name, values), number))
        return family

    def _bus(self, seen: Snapshot) -> Iterator[Metric]:
        yield self._gauge("info", "The version that runs.", ("version",), [((__version__,), 1)])
        yield self._gauge("ready", "1 while the bus is ready.", (), [((), float(seen.state == "ready"))])
        yield self._counter("reloads", "Reloads that were begun.", (), [((), seen.reloads)])
        yield self._gauge(
            "last_reload_failed", "1 if the last reload failed.", (), [((), float(seen.reload_failed))]
        )
        programs = [(each.name, each) for each in seen.programs]
        yield self._gauge(
            "program_resident_memory_bytes",
            "Memory of what runs beside the mules.",
            ("program", "pid"),
            [((name, str(each.pid)), each.memory) for name, each in programs],
        )

    def _processes(self, seen: Snapshot) -> Iterator[Metric]:
        labels = ("role", "number")
        found = [((each.role, str(each.number)), each) for each in seen.processes]
        yield self._gauge(
            "process_up", "1 while it runs.", labels, [(key, float(each.pid > 0)) for key, each in found]
        )
        yield self._gauge(
            "process_busy",
            "1 while the app does something in it.",
            labels,
            [(key, float(each.state == "busy" or bool(each.kind))) for key, each in found],
        )
        yield self._gauge(
            "process_doing_seconds",
            "For how long the app has been doing what it does now; 0: nothing.",
            labels,
            [(key, each.doing_since) for key, each in found],
        )
        yield self._gauge(
            "process_resident_memory_bytes",
            "Resident memory.",
            labels,
            [(key, each.memory) for key, each in found],
        )
        yield self._counter(
            "process_cpu_seconds",
            "CPU of it and of those before it, since the exporter was started.",
            labels,
            [(key, self._steady.added(("cpu", key), each.pid, each.cpu)) for key, each in found],
        )
        yield self._counter(
            "process_messages",
            "Messages that were received; of a spooler, tasks that were run.",
            labels,
            [(key, each.all_messages) for key, each in found],
        )
        yield self._counter(
            "process_signals",
            "Signals that were handled.",
            labels,
            [(key, each.all_signals) for key, each in found],
        )
        yield self._counter(
            "process_exceptions",
            "What the app raised.",
            labels,
            [(key, each.all_exceptions) for key, each in found],
        )
        yield self._counter(
            "process_restarts",
            "How often it was started again.",
            labels,
            [(key, each.respawns) for key, each in found],
        )

    def _queues(self, seen: Snapshot) -> Iterator[Metric]:
        found = [((each.endpoint,), each) for each in seen.queues]
        yield self._gauge(
            "queue_messages", "Frames that wait.", ("queue",), [(key, each.messages) for key, each in found]
        )
        yield self._gauge(
            "queue_capacity",
            "Frames there is room for.",
            ("queue",),
            [(key, each.depth) for key, each in found],
        )
        yield self._gauge(
            "queue_waiting",
            "Messages behind a queue that was full.",
            ("queue",),
            [(key, each.waiting) for key, each in found],
        )
        yield self._gauge(
            "queue_oldest_seconds",
            "For how long at least the first of what waits has been there.",
            ("queue",),
            [(key, each.oldest or 0.0) for key, each in found],
        )
        messages = [(key, each) for key, each in found if not each.is_spool]
        yield self._counter(
            "queue_taken",
            "Messages that mules have taken.",
            ("queue",),
            [(key, each.taken) for key, each in messages],
        )
        yield self._counter(
            "queue_come",
            "Messages that have come: those that were taken, and as many more as there are.",
            ("queue",),
            [(key, self._steady.up(("come", key), each.come)) for key, each in messages],
        )
        yield self._gauge("dead_letters", "Messages that nobody could take.", (), [((), seen.letters.dead)])
        yield self._gauge(
            "kept_messages", "Messages the bus queues again itself.", (), [((), seen.letters.waiting)]
        )
        locks = [((str(each.number),), each) for each in seen.locks]
        yield self._gauge(
            "lock_taken",
            "1 while it is taken.",
            ("lock",),
            [(key, float(each.holder > 0)) for key, each in locks],
        )
        yield self._gauge(
            "lock_waiters", "Who waits for it.", ("lock",), [(key, each.waiters) for key, each in locks]
        )

    def _signals(self, seen: Snapshot) -> Iterator[Metric]:
        labels = ("signal", "handler")
        found = [((str(each.number), each.handler), each) for each in seen.signals]
        yield self._counter(
            "signal_runs", "Runs that were begun.", labels, [(key, each.runs) for key, each in found]
        )
        yield self._counter(
            "signal_exceptions",
            "Runs that raised something.",
            labels,
            [(key, each.exceptions) for key, each in found],
        )
        yield self._counter(
            "signal_seconds", "Time of all runs.", labels, [(key, each.spent) for key, each in found]
        )
        yield self._gauge(
            "signal_pending", "Raised and not taken.", labels, [(key, each.pending) for key, each in found]
        )
        yield self._counter(
            "signals_dropped", "Signals that nobody was registered for.", (), [((), seen.dropped)]
        )

    def _events(self, seen: Snapshot) -> Iterator[Metric]:
        labels = ("event", "kind", "signal")
        events = [
            ((f"{each.schedule} {each.handler}".strip(), each.kind, str(each.signal or "")), each)
            for each in seen.events or ()
        ]
        yield self._counter(
            "event_ticks", "How often it was due.", labels, [(key, each.ticks) for key, each in events]
        )
        yield self._counter(
            "event_skips",
            "How often it was due and not begun.",
            labels,
            [(key, each.skips) for key, each in events],
        )
        yield self._gauge(
            "event_next_timestamp_seconds",
            "When it is due.",
            labels,
            [(key, each.next) for key, each in events if each.next is not None],
        )
        yield self._gauge(
            "event_late_seconds",
            "How late its handler began last, or has been waiting.",
            labels,
            [(key, each.late) for key, each in events if each.late is not None],
        )

    def _tasks(self, seen: Snapshot) -> Iterator[Metric]:
        places = seen.tasks.directories
        states = ("waiting", "scheduled", "running", "failing", "dead")
        yield self._gauge(
            "tasks",
            "Tasks in a spool directory.",
            ("directory", "state"),
            [((each.path, state), getattr(each, state)) for each in places for state in states],
        )
        yield self._gauge(
            "tasks_oldest_seconds",
            "For how long the first of those that are due has been waiting.",
            ("directory",),
            [((each.path,), each.oldest or 0.0) for each in places],
        )
        yield self._counter(
            "tasks_begun",
            "Attempts that were begun.",
            ("directory",),
            [((each.path,), each.begun) for each in places],
        )
        yield self._counter(
            "tasks_ended",
            "Tasks that were done or given up.",
            ("directory",),
            [((each.path,), each.ended) for each in places],
        )
        yield self._counter(
            "tasks_come",
            "Tasks that have come: those that ended, and as many more as there are.",
            ("directory",),
            [((each.path,), self._steady.up(("come", each.path), each.ended + each.left)) for each in places],
        )
        found = seen.tasks.functions
        results = ("done", "failed", "killed", "other")
        yield self._counter(
            "task_attempts",
            "Attempts at tasks, by what came of them.",
            ("function", "result"),
            [((each.function, result), getattr(each, result)) for each in found for result in results],
        )
        yield self._counter(
            "tasks_given_up",
            "Tasks that were given up.",
            ("function",),
            [((each.function,), each.dead) for each in found],
        )
        family = HistogramMetricFamily(
            "ipcmules_task_seconds", "How long attempts took.", labels=("bus", "function")
        )
        for each in found:
            family.add_metric([self._where.bus, each.function], _buckets(each), each.spent)
        yield family

    def _state(self, seen: Snapshot) -> Iterator[Metric]:
        caches = [((each.name,), each) for each in seen.caches if each.entries is not None]
        yield self._gauge(
            "cache_entries",
            "Entries of a cache.",
            ("cache",),
            [(key, each.entries or 0) for key, each in caches],
        )
        yield self._gauge(
            "cache_used_bytes", "What they take.", ("cache",), [(key, each.used or 0) for key, each in caches]
        )
        yield self._gauge(
            "cache_size_bytes",
            "What they may take.",
            ("cache",),
            [(key, each.size) for key, each in caches],
        )
        yield self._gauge(
            "app_value",
            "The app's own counters, which may go down.",
            ("counter",),
            [((name,), number) for name, number in seen.counters.items()],
        )


def _buckets(each: Figures) -> list[tuple[str, float]]:
    """How many attempts took no longer than each bound."""
    counted, found, at = 0, [], 0
    for bound in _BOUNDS:
        counted += sum(each.buckets[at:bound])
        at = bound
        found.append((f"{figures.begins(bound) / 1e9:.6g}", float(counted)))
    return [*found, ("+Inf", float(counted + sum(each.buckets[at:])))]
