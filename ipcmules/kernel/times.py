"""Moments as people and programs read them: UTC where several processes write, else the reader's zone."""

from __future__ import annotations

from datetime import datetime, timezone


def iso(moment: float, precision: str = "seconds") -> str:
    """Seconds since 1970 as ISO 8601 with the offset; precision as in datetime.isoformat()."""
    return datetime.fromtimestamp(moment).astimezone().isoformat("T", precision)


def utc(moment: float, separator: str = "T") -> str:
    """Seconds since 1970 to the millisecond, with UTC's offset: an app may change the zone of its process."""
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(separator, "milliseconds")


def local(moment: float) -> str:
    """A moment for a table: date and time to the second, in the reader's zone."""
    return datetime.fromtimestamp(moment).strftime("%Y-%m-%d %H:%M:%S")
