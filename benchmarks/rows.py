"""The rows of the table: samples taken in turns become ratios, ratios meet their targets."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.workspace import BenchError

Samples = Sequence[float]
BACKLOG = 1_000_000


@dataclass(frozen=True)
class Row:
    """One line. reached is None where there is no target, or where the measure was skipped."""

    measure: str
    ours: str
    peer: str
    ratio: str
    target: str
    reached: bool | None


@dataclass(frozen=True)
class Bench:
    """How thoroughly to measure."""

    rounds: int = 7
    quick: bool = False
    #: Tasks in the directory of spool-backlog.
    backlog: int = BACKLOG

    def scaled(self, count: int) -> int:
        """A number of messages, a fifth of it for a quick run."""
        return max(1, count // 5) if self.quick else count


def interleave(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """One sample of each side in turn, `rounds` times, after one round that does not count."""
    samples: dict[str, list[float]] = {label: [] for label in sides}
    for round_number in range(rounds + 1):
        for label, take in sides.items():
            try:
                value = take()
            except BenchError as error:
                raise BenchError(f"{label}: {error}") from error
            if round_number:
                samples[label].append(value)
    return samples


def rate(values: Samples) -> str:
    middle = statistics.median(values)
    return f"{middle / 1e3:.0f} k/s" if middle >= 10_000 else f"{middle:.0f} /s"


def duration(values: Samples) -> str:
    return seconds(statistics.median(values))


def seconds(value: float) -> str:
    """A time in the unit that suits it."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e9:.0f} ns"


def ratio(ours: Samples, theirs: Samples) -> float:
    """The median of the ratios, round by round."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def versus(
    measure: str,
    peer: str,
    ours: Samples,
    theirs: Samples,
    unit: Callable[[Samples], str],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Row:
    """A row of one comparison. Without a bound it is for the reader."""
    value = ratio(ours, theirs)
    target, reached = "", None
    if at_least is not None:
        target, reached = f">= {at_least:g}", value >= at_least
    if at_most is not None:
        target, reached = f"<= {at_most:g}", value <= at_most
    return Row(measure, unit(ours), f"{peer} {unit(theirs)}", f"{value:.2f}", target, reached)


def absolute(measure: str, ours: str, target: str, reached: bool | None) -> Row:
    """A row that is not a comparison."""
    return Row(measure, ours, "", "", target, reached)


def skipped(measure: str, reason: str) -> Row:
    return Row(measure, "skipped", reason, "", "", None)


def table(rows: Sequence[Row]) -> str:
    """The rows as a table that reads well as it is and as Markdown."""
    words = {True: "yes", False: "NO", None: ""}
    lines = [("measure", "ipcmules", "peer", "ratio", "target", "reached")]
    lines += [(r.measure, r.ours, r.peer, r.ratio, r.target, words[r.reached]) for r in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    text = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    text.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(text)
