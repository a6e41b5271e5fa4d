"""Time zones as texts that travel from the process that registers a cron to the master, and back.

A token is the name of a zone ("Europe/Rome", "UTC"), a POSIX TZ string ("CET-1CEST,M3.5.0,M10.5.0/3") or a
colon and the absolute path of a compiled zone file (":/etc/localtime"). What TZ means is what tzset(3) says.
"""

from __future__ import annotations

import os
import re
import time
from datetime import datetime, timedelta, timezone, tzinfo

from ipcmules.errors import EventError, EventTypeError
from ipcmules.kernel.exhaustion import importing

UTC = "UTC"

_LOCALTIME = "/etc/localtime"
_LARGEST_FILE = 1 << 20
#: A name or <name>, an offset; and perhaps the same of the summer time and its rules: tzset(3).
_POSIX = re.compile(
    r"(?P<zone>(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)[+-]?\d{1,2}(?::\d{2}){0,2})"
    r"(?P<summer>(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)(?:[+-]?\d{1,2}(?::\d{2}){0,2})?(?P<rules>,.+)?)?\Z"
)
#: What glibc takes for a summer time without rules (tzset.c, TZDEFRULES without the file).
_DEFAULT_RULES = ",M3.2.0,M11.1.0"
#: Days from now on which a zone must agree with what the C library makes of it.
_SAMPLES = (0, 91, 182, 274)

_known: dict[str, tzinfo] = {UTC: timezone.utc}


def current_zone() -> str:
    """The token of the zone that is in force in this process: of TZ, else of /etc/localtime.

    A TZ that was set without time.tzset() is not in force. One that names no zone is UTC, as for
    the C library.
    """
    text = os.environ.get("TZ")
    if text is None:
        return _system_zone()
    token = _of_variable(text)
    if not _in_force(token):
        system = _system_zone()
        if _in_force(system):
            return system
    return token


def token_of(tz: str | tzinfo | None) -> str:
    """The token of what a user gives for a zone.

    tz: a name, a POSIX TZ string, a zoneinfo (or pytz) zone, a datetime.timezone; None is current_zone().
    Raises EventError for a zone that does not exist or has no name, EventTypeError for anything else.
    """
    if tz is None:
        return current_zone()
    if isinstance(tz, str):
        zone(tz)
        return tz
    if not isinstance(tz, tzinfo):
        raise EventTypeError(f"tz={tz!r} is no time zone: give a name such as 'Europe/Rome', or a ZoneInfo")
    name = getattr(tz, "key", None) or getattr(tz, "zone", None)
    if isinstance(name, str):
        zone(name)
        return name
    if isinstance(tz, timezone):
        return _fixed(tz.utcoffset(None))
    raise EventError(
        f"tz={tz!r} has no name by which the master could find it: give one from zoneinfo, or its name"
    )


def zone(token: str) -> tzinfo:
    """The zone of a token. Raises EventError if there is none of that name on this machine."""
    found = _known.get(token)
    if found is None:
        found = _load(token)
        if len(_known) < 1000:  # tokens come from processes: a bound, should one make up many
            _known[token] = found
    return found


def _load(token: str) -> tzinfo:
    with importing:
        import zoneinfo

    if token.startswith(":"):
        try:
            # Tokens come through a socket: the master must not wait in open(2), nor read without an end.
            if not os.path.isfile(token[1:]) or os.path.getsize(token[1:]) > _LARGEST_FILE:
                raise ValueError("it is no file, or much too large")
            with open(token[1:], "rb") as file:
                return zoneinfo.ZoneInfo.from_file(file, key=token)
        except (OSError, ValueError) as error:
            raise EventError(f"time zone file {token[1:]!r} cannot be used: {error}") from error
    try:
        return zoneinfo.ZoneInfo(token)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        pass
    found = _from_rules(token)
    if found is None:
        raise EventError(
            f"there is no time zone {token!r}: give a name such as 'Europe/Rome' or 'UTC' "
            "(where even those are missing: pip install tzdata)"
        )
    return found


def _from_rules(text: str) -> tzinfo | None:
    """The zone of a POSIX TZ string, None if it is none."""
    match = _POSIX.match(text)
    if match is None:
        return None
    rules = text
    if match["summer"] and not match["rules"]:
        rules += _DEFAULT_RULES
    with importing:
        import io
        import zoneinfo

    # zoneinfo reads such rules only at the end of a compiled file (RFC 8536), so this is one that has
    # nothing else: a version 1 and a version 2 block with one local time type each, and no transitions.
    header = b"TZif2" + bytes(15) + b"".join(n.to_bytes(4, "big") for n in (0, 0, 0, 0, 1, 4))
    block = header + (0).to_bytes(4, "big") + b"\0\0" + b"UTC\0"
    try:
        return zoneinfo.ZoneInfo.from_file(io.BytesIO(block * 2 + b"\n" + rules.encode() + b"\n"), key=text)
    except ValueError:
        return None


def _fixed(offset: timedelta | None) -> str:
    seconds = int(offset.total_seconds()) if offset is not None else 0
    if not seconds:
        return UTC
    sign, (minutes, rest) = ("+", divmod(seconds, 60)) if seconds > 0 else ("-", divmod(-seconds, 60))
    clock = f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}"
    # POSIX counts to the west.
    return f"<{sign}{clock.replace(':', '')[:4]}>{'-' if sign == '+' else '+'}{clock}"


def _of_variable(text: str) -> str:
    name = text.removeprefix(":")
    if not name:
        return UTC
    if name.startswith("/"):
        name = f":{name}"
    elif "TZDIR" in os.environ and os.path.isfile(os.path.join(os.environ["TZDIR"], name)):
        name = ":" + os.path.abspath(os.path.join(os.environ["TZDIR"], name))
    try:
        zone(name)
    except EventError:
        return UTC
    return name


def _system_zone() -> str:
    if not os.path.exists(_LOCALTIME):
        return UTC
    _directory, found, name = os.path.realpath(_LOCALTIME).partition("/zoneinfo/")
    for token in (name, f":{_LOCALTIME}"):
        try:
            if token and (found or token.startswith(":")):
                zone(token)
                return token
        except EventError:
            pass
    return UTC


def _in_force(token: str) -> bool:
    """True if the C library gives the same times as the zone."""
    here = zone(token)
    now = int(time.time())
    moments = (now + days * 86400 for days in _SAMPLES)
    return all(
        datetime.fromtimestamp(each, here).utcoffset() == timedelta(seconds=time.localtime(each).tm_gmtoff)
        for each in moments
    )
