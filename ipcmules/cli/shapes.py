"""Numbers as short texts, for tables. Knows nothing of a bus."""

from __future__ import annotations

_BYTES = ("B", "K", "M", "G", "T")
_COUNTS = ("", "k", "M", "G", "T")


def duration(seconds: float) -> str:
    """In at most five characters: '340ms', '12s', '3m', '4.2h', '12d'."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms" if seconds else "0s"
    if seconds < 60:
        return f"{seconds:.1f}s" if seconds < 9.95 else f"{seconds:.0f}s"
    if seconds < 3600:
        return f"{seconds / 60:.0f}m"
    return f"{seconds / 3600:.1f}h" if seconds < 86400 else f"{seconds / 86400:.0f}d"


def size(count: float) -> str:
    """Bytes in at most five characters: '12M', '1.5G'."""
    return _scaled(count, 1024, _BYTES)


def number(count: float) -> str:
    """A count or a rate in at most five characters: '0.5', '12', '3.4k'."""
    if not count or count >= 100 or count == int(count):
        return _scaled(count, 1000, _COUNTS)
    return f"{count:.1f}"


def _scaled(count: float, step: int, units: tuple[str, ...]) -> str:
    place = 0
    while count >= step and place < len(units) - 1:
        count /= step
        place += 1
    return f"{count:.1f}{units[place]}" if place and count < 9.95 else f"{count:.0f}{units[place]}"


def cut(text: str, width: int) -> str:
    """A text in so many columns, with '…' where it is longer."""
    if len(text) <= width:
        return text
    return text[: max(width - 1, 0)] + "…" if width > 0 else ""
