"""What a cron does, found by brute force: every value against the text, one minute of a day after another.

Written from crontab(5), uWSGI's cron.c and Vixie's cron.c (a virtual clock that follows the real one); it
shares nothing with ipcmules.events.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone, tzinfo

SPANS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
NAMES = {
    3: {name: n for n, name in enumerate(MONTHS, 1)},
    4: {name: n for n, name in enumerate(WEEKDAYS)},
}
HOUR, DAY = 3600, 86400
MINUTE = timedelta(minutes=1)
QUARTER = [n * MINUTE for n in range(15)]


def _number(field: int, text: str) -> int:
    return NAMES.get(field, {}).get(text.upper(), -1) if text.isalpha() else int(text)


def allows(field: int, text: str, value: int) -> bool:
    """Whether a field of an expression, or a number of uWSGI's, allows a value (weekdays: Sunday is 0)."""
    if text.startswith("-"):
        return value % int(text[1:]) == 0
    if field == 4 and value == 0 and _allows(field, text, 7):
        return True
    return _allows(field, text, value)


def _allows(field: int, text: str, value: int) -> bool:
    for part in text.split(","):
        spread, _, step = part.partition("/")
        if spread == "*":
            low, high = SPANS[field]
        elif "-" in spread:
            low, high = (_number(field, each) for each in spread.split("-"))
        else:
            low = _number(field, spread)
            high = (6 if field == 4 else SPANS[field][1]) if step else low
        if low <= value <= high and (value - low) % int(step or 1) == 0:
            return True
    return False


class Oracle:
    """One cron, given by the five texts of its fields."""

    def __init__(self, words: list[str]) -> None:
        self.sets = [
            {value for value in range(low, high + 1) if allows(field, words[field], value)}
            for field, (low, high) in enumerate(SPANS)
        ]
        self.both = words[2][0] not in "*-" and words[4][0] not in "*-"
        # Spelling all values out is as good as a star; cron.c alone looks at the star.
        self.wildcard = any(
            words[field][0] in "*-" or len(self.sets[field]) == size for field, size in ((0, 60), (1, 24))
        )

    def day(self, day: date) -> bool:
        """Whether a day matches."""
        if day.month not in self.sets[3]:
            return False
        by_day, by_weekday = day.day in self.sets[2], day.isoweekday() % 7 in self.sets[4]
        return by_day or by_weekday if self.both else by_day and by_weekday

    def wall(self, wall: datetime) -> bool:
        """Whether a time on the wall clock matches."""
        return wall.minute in self.sets[0] and wall.hour in self.sets[1] and self.day(wall.date())

    def runs(self, minutes: list[tuple[int, datetime]]) -> list[int]:
        """When it runs in these minutes, which follow one another: (epoch, wall clock)."""
        if self.wildcard:
            return [moment for moment, wall in minutes if self.wall(wall)]
        found = []
        virtual = minutes[0][1] - MINUTE
        for moment, wall in minutes:
            if wall <= virtual:  # a clock that went back is not followed until it has caught up
                continue
            run = self.wall(wall)
            while (virtual := virtual + MINUTE) < wall:
                run = run or self.wall(virtual)
            if run:
                found.append(moment)
        return found

    def first(self, after: int, zone: tzinfo, days: int = 12000) -> int | None:
        """The first run later than after: day by day, and minute by minute in days that match."""
        here = datetime.fromtimestamp(after, zone).date()
        for each in (here + timedelta(days=n) for n in range(-1, days)):
            if not (self.day(each) or (not self.wildcard and self.day(each - timedelta(days=1)))):
                continue
            # A day of any zone, with hours to spare at both ends for the virtual clock and what is skipped.
            begin = (
                int(datetime(each.year, each.month, each.day, tzinfo=timezone.utc).timestamp()) - 16 * HOUR
            )
            for moment in self.runs(minutes(zone, begin, begin + 58 * HOUR)):
                if moment > after:
                    return moment
        return None


def minutes(zone: tzinfo, begin: int, end: int) -> list[tuple[int, datetime]]:
    """All minutes from one moment to another, with what the wall clock shows."""
    found = []
    for quarter in range(begin, end, 900):
        aware = datetime.fromtimestamp(quarter, zone)
        if datetime.fromtimestamp(quarter + 899, zone).utcoffset() == aware.utcoffset():
            first = aware.replace(tzinfo=None)
            found += [(quarter + 60 * n, first + spread) for n, spread in enumerate(QUARTER)]
        else:
            moments = range(quarter, quarter + 900, 60)
            found += [(each, datetime.fromtimestamp(each, zone).replace(tzinfo=None)) for each in moments]
    return found


def changes(zone: tzinfo, first_year: int, last_year: int) -> list[int]:
    """The hours in which the zone's offset changes."""
    begin = int(datetime(first_year, 1, 1, tzinfo=timezone.utc).timestamp())
    end = int(datetime(last_year + 1, 1, 1, tzinfo=timezone.utc).timestamp())
    found = []
    for day in range(begin, end, DAY):
        if _offset(zone, day) != _offset(zone, day + DAY):
            hours = range(day, day + DAY, HOUR)
            found += [each + HOUR for each in hours if _offset(zone, each) != _offset(zone, each + HOUR)]
    return found


def _offset(zone: tzinfo, moment: int) -> timedelta | None:
    return datetime.fromtimestamp(moment, zone).utcoffset()
