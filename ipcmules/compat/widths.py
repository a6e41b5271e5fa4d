"""Whole numbers as PyArg_ParseTuple() takes them, by its codes: too wide ones raise, or are cut."""

from __future__ import annotations

#: Codes that check: the lowest and the highest number.
_RANGES = {"b": (0, 255), "i": (-(1 << 31), (1 << 31) - 1), "l": (-(1 << 63), (1 << 63) - 1)}
#: Codes that mask: bits.
_MASKS = {"I": 32, "K": 64}


def checked(code: str, value: int) -> int:
    """The number that a code makes of it. Raises OverflowError."""
    if code in _MASKS:
        return value & (1 << _MASKS[code]) - 1
    lowest, highest = _RANGES[code]
    if not lowest <= value <= highest:
        raise OverflowError(f"{value} is not from {lowest} to {highest}")
    return int(value)


def signed(value: int, bits: int) -> int:
    """The signed number that the lower bits are."""
    half = 1 << bits - 1
    return (value + half) % (2 * half) - half
