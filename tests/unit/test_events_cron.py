"""Cron against brute force over days and minutes (cron_oracle.py), and against another library (croniter)."""

from __future__ import annotations

import random
import re
from datetime import datetime, timezone
from itertools import pairwise

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from cron_oracle import DAY, HOUR, NAMES, SPANS, Oracle, changes, minutes
from ipcmules.errors import EventError, EventTypeError, IpcMulesError
from ipcmules.events import fields, zones
from ipcmules.events.cron import CronSchedule

#: Changes by whole and half hours, at midnight and a minute after, in winter and not at all.
ZONES = [
    "Europe/Rome",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Havana",
    "America/St_Johns",
    "America/Santiago",
    "Asia/Beirut",
    "Africa/Casablanca",
    "Europe/Dublin",
    "Asia/Kolkata",
    "UTC",
    "CET-1CEST,M3.5.0,M10.5.0/3",
    "EST5EDT4,M3.2.0,M11.1.0",
]

#: A range of one value.
SAME = re.compile(r"\b(\d+)-\1\b")


def schedule(words: list[str], zone: str = "UTC") -> CronSchedule:
    try:
        numbers = [int(word) for word in words]
    except ValueError:
        return CronSchedule(fields.from_expression(" ".join(words)), zones.zone(zone))
    return CronSchedule(fields.from_numbers(*numbers), zones.zone(zone))


def random_part(choose: random.Random, field: int) -> str:
    low, high = SPANS[field]
    first, last = sorted((choose.randint(low, high), choose.randint(low, high)))
    step = choose.choice((1, 2, 3, 5, 7, 10, 15))
    names = {number: name for name, number in NAMES.get(field, {}).items()}
    named = names.get(first, str(first)).lower() if choose.random() < 0.5 else str(first)
    return choose.choice(
        (
            named,
            named,
            f"{first}-{last}",
            f"{first}-{last}/{step}",
            f"{first}-{first}/{step}",
            f"*/{step}",
            f"{first}/{step}",
        )
    )


def random_field(choose: random.Random, field: int, star: float) -> str:
    if choose.random() < star:
        return "*"
    return ",".join(random_part(choose, field) for _ in range(choose.choice((1, 1, 1, 2, 3))))


def random_number(choose: random.Random, field: int) -> str:
    low, high = SPANS[field]
    return str(
        choose.choice((-1, -1, -choose.randint(1, 12 if field != 4 else 7), choose.randint(low, high)))
    )


def random_words(choose: random.Random) -> list[str]:
    """Five fields, as an expression or as uWSGI's numbers; only such as can match."""
    while True:
        if choose.random() < 0.3:
            words = [random_number(choose, field) for field in range(5)]
        else:
            words = [random_field(choose, field, (0.3, 0.4, 0.6, 0.7, 0.6)[field]) for field in range(5)]
        try:
            schedule(words)
        except EventError:
            assert "0" not in words  # and then it is one of 30 February's kind
            assert all(
                not Oracle(words).day(datetime.fromtimestamp(n * DAY).date()) for n in range(15000, 16500)
            )
        else:
            return words


def near_an_hour(choose: random.Random) -> list[str]:
    """Fields for times in the first hours of a day, where clocks change."""
    hours = choose.choice(
        ("*", "0-23", "*/2", "0", "1", "2", "3", "0,2", "1-3", "2,3", "0-3", "-1", "-2", "23")
    )
    return [random_field(choose, 0, 0.2), hours, "*", "*", choose.choice(("*", "*", "0", "sat,sun", "1-6"))]


@pytest.mark.parametrize("zone", ZONES)
def test_random_times_over_years(zone: str) -> None:
    choose = random.Random(f"years {zone}")
    for _ in range(130):
        words = random_words(choose)
        after = choose.randint(978307200, 2556144000)  # 2001 to 2050
        found = schedule(words, zone).next(after)
        assert found == Oracle(words).first(after, zones.zone(zone)), (words, after, zone)


@pytest.mark.parametrize("zone", ZONES)
def test_every_run_around_changes_of_the_clock(zone: str) -> None:
    choose = random.Random(f"changes {zone}")
    here = zones.zone(zone)
    found = changes(here, 2004, 2006) + changes(here, 2035, 2036) or [1_700_000_000]
    windows = [minutes(here, each // 60 * 60 - 30 * HOUR, each // 60 * 60 + 30 * HOUR) for each in found]
    for _ in range(110):
        words, window = near_an_hour(choose), choose.choice(windows)
        begin, end = window[0][0], window[-1][0]
        start = begin + choose.randint(0, 40 * HOUR)  # before the change, after it, between the two
        runs = [moment for moment in Oracle(words).runs(window) if moment > start]
        ours, moment = [], schedule(words, zone)
        after: float | None = start
        while (after := moment.next(after)) is not None and after <= end:
            ours.append(int(after))
        assert ours == runs, (words, zone, start)


def test_another_library_agrees() -> None:
    # Not where it has other rules: -k, a step of days beside weekdays, steps over Sunday, a-a.
    choose = random.Random("croniter")
    for _ in range(400):
        words = random_words(choose)
        if any(word[0] == "-" or SAME.search(word) for word in words):
            continue
        if "*" not in (words[2], words[4]) and "*" in (words[2][0], words[4][0]):
            continue
        if "/" in words[4] or "7" in words[4]:
            continue
        after = choose.randint(978307200, 2556144000)
        ours, theirs = schedule(words), croniter(" ".join(words), after, ret_type=float)
        for _ in range(5):
            expected = theirs.get_next()
            assert ours.next(after) == expected, (words, after)
            after = expected


def runs(words: str, zone: str, begin: datetime, hours: int) -> list[str]:
    """The wall clock at each run."""
    moment, cron = begin.timestamp(), schedule(words.split(), zone)
    found = []
    while (later := cron.next(moment)) is not None and later <= begin.timestamp() + hours * HOUR:
        moment = later
        found.append(datetime.fromtimestamp(moment, zones.zone(zone)).strftime("%H:%M%z"))
    return found


SPRING = datetime(2026, 3, 29, 0, 30, tzinfo=timezone.utc)  # 01:30 in Rome; at 02:00 it is 03:00
AUTUMN = datetime(2026, 10, 24, 23, 50, tzinfo=timezone.utc)  # 01:50 in Rome; at 03:00 it is 02:00


@pytest.mark.parametrize(
    ("words", "begin", "expected"),
    [
        ("30 2 * * *", SPRING, ["03:00+0200"]),
        ("10,50 2 * * *", SPRING, ["03:00+0200"]),
        ("0 2,3 * * *", SPRING, ["03:00+0200"]),
        ("-30 -1 -1 -1 -1", SPRING, ["03:00+0200", "03:30+0200"]),
        ("*/30 2 * * *", SPRING, []),
        ("30 2 * * *", AUTUMN, ["02:30+0200"]),
        ("30 * * * *", AUTUMN, ["02:30+0200", "02:30+0100"]),
        ("30 0-23 * * *", AUTUMN, ["02:30+0200", "02:30+0100"]),
        ("*/30 2 * * *", AUTUMN, ["02:00+0200", "02:30+0200", "02:00+0100", "02:30+0100"]),
    ],
)
def test_vixie_rules(words: str, begin: datetime, expected: list[str]) -> None:
    assert runs(words, "Europe/Rome", begin, 1 if begin is SPRING else 2) == expected


def test_a_cron_that_is_asked_in_the_second_hour_never_looks_back() -> None:
    second = AUTUMN.timestamp() + 85 * 60  # 02:15 for the second time
    for cron in ("20 2 * * *", "*/20 2 * * *"):
        for _ in range(3):
            found = schedule(cron.split(), "Europe/Rome").next(second)
            assert found is not None
            assert found > second


@settings(max_examples=60)
@given(st.lists(st.integers(-100_000, 100_000), min_size=1, max_size=20), st.sampled_from(ZONES), st.data())
def test_a_clock_that_is_set_makes_no_difference(steps: list[int], zone: str, data: st.DataObject) -> None:
    choose = random.Random(data.draw(st.integers(0, 10_000)))
    words = near_an_hour(choose)
    kept = schedule(words, zone)
    moment = choose.choice(changes(zones.zone(zone), 2024, 2024) or [1_700_000_000]) - 50_000
    for step in steps:
        moment += step
        assert kept.next(moment) == schedule(words, zone).next(moment)


@pytest.mark.parametrize(
    ("numbers", "expression"),
    [
        ((-1, -1, -1, -1, -1), "* * * * *"),
        ((0, 3, -1, -1, -1), "0 3 * * *"),
        ((-5, -2, -1, -1, -1), "*/5 */2 * * *"),
        ((0, 0, -2, -1, -1), "0 0 2-30/2 * *"),
        ((0, 0, -1, -3, -1), "0 0 * 3,6,9,12 *"),
        ((0, 0, -1, -1, 7), "0 0 * * 0"),
        ((0, 0, -1, -1, -3), "0 0 * * 0,3,6"),
        ((0, 0, 13, -1, 5), "0 0 13 * fri"),
        ((-90, -1, -1, -1, -1), "0 * * * *"),
    ],
)
def test_uwsgi_numbers(numbers: tuple[int, int, int, int, int], expression: str) -> None:
    ours, theirs = fields.from_numbers(*numbers), fields.from_expression(expression)
    assert ours[:5] == theirs[:5]


def test_day_and_weekday() -> None:
    friday_13 = fields.from_numbers(0, 0, 13, -1, 5)
    assert not friday_13.day_and  # both given: one is enough
    for numbers in ((0, 0, -13, -1, 5), (0, 0, 13, -1, -5), (0, 0, -1, -1, 5)):
        assert fields.from_numbers(*numbers).day_and
    assert fields.from_expression("0 0 */2 * 1").day_and


def test_numbers_as_in_an_expression() -> None:
    assert fields.from_expression("-5 3 -1 -1 7")[:7] == fields.from_numbers(-5, 3, -1, -1, 7)[:7]


@pytest.mark.parametrize(
    "name", ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@Annually"]
)
def test_nicknames(name: str) -> None:
    cron = CronSchedule(fields.from_expression(name), timezone.utc)
    moment = croniter(name.lower(), 1_790_000_000, ret_type=float)
    assert [cron.next(1_790_000_000)] == [moment.get_next()]


@pytest.mark.parametrize(
    "text",
    [
        "", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 0 *",
        "* * * 13 *", "* * * * 8", "*/0 * * * *", "5-1 * * * *", "a * * * *", "1,, * * * *", "1- * * * *",
        "* * * feb-jan *", "* * * * mon-xxx", "1.5 * * * *", "-0 * * * *", "-x * * * *", "@reboot",
        "0 0 30 2 *",
        "0 0 31 4,6,9,11 *", "0 0 30 2 */2", "* * -40 * *", "\u0661 * * * *", "1_0 * * * *", "*/ * * * *",
        "/5 * * * *", "1/2/3 * * * *", "1-2-3 * * * *", "**  * * * *", "99999999999999999999 * * * *",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(EventError) as caught:
        fields.from_expression(text)
    assert isinstance(caught.value, ValueError)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    "numbers",
    [
        (60, 0, 1, 1, 1),
        (0, 24, 1, 1, 1),
        (0, 0, 0, 1, 1),
        (0, 0, 1, 13, 1),
        (0, 0, 1, 1, 8),
        (0, 0, 31, 2, -1),
    ],
)
def test_numbers_out_of_range(numbers: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(EventError):
        fields.from_numbers(*numbers)


@pytest.mark.parametrize("value", [1.0, True, "1", None])
def test_numbers_of_another_type(value: object) -> None:
    with pytest.raises(EventTypeError):
        fields.from_numbers(value, 0, 1, 1, 1)  # type: ignore[arg-type]


@given(st.text(max_size=30) | st.lists(st.text(alphabet="0123456789*/-,@LW#? ", max_size=6)).map(" ".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        fields.from_expression(text)
    except IpcMulesError:
        pass


def test_thirtieth_of_february_with_a_weekday_comes_on_that_weekday() -> None:
    found = schedule(["0", "0", "30", "2", "mon"]).next(1_790_000_000)
    assert found is not None
    assert datetime.fromtimestamp(found, timezone.utc).strftime("%a %b") == "Mon Feb"


def test_a_thousand_crons() -> None:
    crons = [schedule(["*/5", "*", "*", "*", str(n % 7)], "Europe/Rome") for n in range(1000)]
    assert all(cron.next(1_790_000_000) for cron in crons)
    moments = sorted({cron.next(1_790_000_000) or 0.0 for cron in crons})
    assert all(later - sooner >= 60 for sooner, later in pairwise(moments))
