"""The five fields of a cron: from uWSGI's numbers or a crontab expression to the sets of values they allow.

Values only; when the next match comes is cron.py's. Rules: crontab(5) for expressions, uWSGI 2.0.31's
uwsgi_cron_task_needs_execution() for numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ipcmules.errors import EventError, EventTypeError


class _Field(NamedTuple):
    name: str
    lowest: int
    highest: int
    names: tuple[str, ...] = ()


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("weekday", 0, 7, _WEEKDAYS),
)
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Fields(NamedTuple):
    """What a cron matches. weekdays count from 0, Sunday, to 6."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    #: Both day and weekday must match; False: both were given, and one of them is enough.
    day_and: bool
    #: Any minute or any hour: it follows the clock over a change of daylight-saving time.
    wildcard: bool
    text: str  #: as an expression, for people


def from_numbers(minute: int, hour: int, day: int, month: int, weekday: int) -> Fields:
    """From uWSGI's numbers: -1 is any value, -k every one that k divides, weekday 7 is Sunday as 0 is.

    Raises EventError for a number that is out of range or can never match, EventTypeError for what is no int.
    """
    values = (minute, hour, day, month, weekday)
    for field, value in zip(_FIELDS, values, strict=True):
        if isinstance(value, bool) or not isinstance(value, int):
            raise EventTypeError(f"cron: {field.name}={value!r} is no whole number: give one, -1 for any")
    return _made([str(each) for each in values], " ".join(map(str, values)))


def from_expression(text: str) -> Fields:
    """From a crontab expression: five fields of *, numbers, names, ranges, lists and steps, or a nickname.

    Nicknames are @daily and its like. A field that is a negative number alone has uWSGI's meaning.
    Raises EventError for what cannot be read, is out of range or can never match.
    """
    if not isinstance(text, str):
        raise EventTypeError(f"cron: {text!r} is no expression: give a str such as '*/5 * * * *'")
    words = _NICKNAMES.get(text.strip().lower(), text).split()
    if len(words) != len(_FIELDS):
        names = " ".join(field.name.upper() for field in _FIELDS)
        raise EventError(
            f"cron expression {text!r} has {len(words)} field(s): write {names}, "
            f"or one of {', '.join(_NICKNAMES)}"
        )
    return _made(words, text)


def _made(words: Sequence[str], origin: str) -> Fields:
    minutes, hours, days, months, weekdays = (
        _values(field, word, origin) for field, word in zip(_FIELDS, words, strict=True)
    )
    day_and = any(word[0] in "*-" for word in (words[2], words[4]))
    if day_and and not any(day <= _LONGEST_MONTHS[month - 1] for day in days for month in months):
        raise EventError(f"cron {origin!r} never comes: no such month has such a day; correct day or month")
    any_minute = words[0][0] in "*-" or len(minutes) == 60
    any_hour = words[1][0] in "*-" or len(hours) == 24
    text = " ".join(_as_expression(field, word) for field, word in zip(_FIELDS, words, strict=True))
    return Fields(minutes, hours, days, months, weekdays, day_and, any_minute or any_hour, text)


def _values(field: _Field, word: str, origin: str) -> frozenset[int]:
    if word.startswith("-"):
        found = _multiples(field, word, origin)
    else:
        found = {value for part in word.split(",") for value in _part(field, part, origin)}
    if field.highest == 7:
        found = {value % 7 for value in found}
    if not found:
        raise _bad(field, word, origin, f"there is no such {field.name}")
    return frozenset(found)


def _multiples(field: _Field, word: str, origin: str) -> set[int]:
    step = _digits(field, word[1:], origin, word)
    if not step:
        raise _bad(field, word, origin, "give -1 for any")
    highest = min(field.highest, 6) if field.name == "weekday" else field.highest
    return {value for value in range(field.lowest, highest + 1) if value % step == 0}


def _part(field: _Field, part: str, origin: str) -> range:
    spread, slash, steps = part.partition("/")
    step = _digits(field, steps, origin, part) if slash else 1
    if not step:
        raise _bad(field, part, origin, "a step is 1 or more")
    if spread == "*":
        # 7 is Sunday again: a step must not count it.
        return range(field.lowest, (6 if field.name == "weekday" else field.highest) + 1, step)
    first, dash, last = spread.partition("-")
    start = _value(field, first, origin, part)
    if dash:
        end = _value(field, last, origin, part)
        if not end and last.isalpha():
            end = 7  # fri-sun
    else:
        end = (6 if field.name == "weekday" and start <= 6 else field.highest) if slash else start
    if end < start:
        raise _bad(field, part, origin, "the range ends before it begins: write two, with a comma")
    return range(start, end + 1, step)


def _value(field: _Field, text: str, origin: str, part: str) -> int:
    name = text.lower()
    if name in field.names:
        return field.names.index(name) + (1 if field.name == "month" else 0)
    value = _digits(field, text, origin, part)
    if not field.lowest <= value <= field.highest:
        raise _bad(field, part, origin, f"give {field.lowest} to {field.highest}")
    return value


def _digits(field: _Field, text: str, origin: str, part: str) -> int:
    # int() alone would take '1_0', ' 3 ' and the digits of other scripts.
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise _bad(field, part, origin, "give *, a number, a range a-b, a list a,b or a step */k")
    return int(text)


def _bad(field: _Field, part: str, origin: str, remedy: str) -> EventError:
    return EventError(f"cron {origin!r}: {part!r} is no {field.name}: {remedy}")


def _as_expression(field: _Field, word: str) -> str:
    if not word.startswith("-"):
        return word
    if word == "-1":
        return "*"
    step = word[1:]
    return f"*/{step}" if field.lowest == 0 else f"{step}-{field.highest}/{step}"
