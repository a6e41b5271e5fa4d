"""What refers to something else in uWSGI's options: $(ENVIRONMENT), @(FILE) and %(OPTION).

Each is filled in over all options before the next one is looked at, as in uWSGI (core/uwsgi.c,
uwsgi_apply_config_pass): so a reference finds options above and below it, and those below as they stand.
Knows lists of options and files; nothing of what an option means.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

from ipcmules.compat import schemes
from ipcmules.errors import ConfigError

#: Options whose value K=V defines K, beside what else they do.
DEFINING = ("set", "set-placeholder", "set-ph")

#: References in one value: more lead in a circle.
_MOST = 1000

_NUMBER = re.compile(r"\s*([+-]?\d+)")


def fill(options: Sequence[tuple[str, str]], origins: Sequence[str]) -> list[str]:
    """The values of the options, in order, filled in.

    origins: where each stands, for error texts. Raises ConfigError for an @(FILE) that cannot be read.
    """
    values = [value for _, value in options]
    values = [_replace("$", value, os.environ.get) for value in values]
    values = [
        _replace("@", value, lambda name, origin=origin: _content(name, origin))  # type: ignore[misc]
        for value, origin in zip(values, origins, strict=True)
    ]
    for index, value in enumerate(values):
        if "%(" in value:
            defined = _defined([key for key, _ in options], values)
            values[index] = _replace("%", value, lambda name: _looked_up(name, defined))  # noqa: B023
    return values


def _replace(sign: str, text: str, look: Callable[[str], str | None]) -> str:
    """Replace SIGN(NAME) by what look(NAME) gives; where that is None it stays. NAME may have parentheses.

    What was filled in is looked at again, as in uWSGI, but for its first character (core/utils.c sets the
    index to 0 and adds one), so a reference may lead to another.
    """
    start = 0
    for _ in range(_MOST):
        found = _next(sign, text, start)
        if found is None:
            return text
        begin, end = found
        value = look(text[begin + 2 : end])
        if value is None:
            start = end + 1
        else:
            text, start = text[:begin] + value + text[end + 1 :], 1
    raise ConfigError(f"{text[:60]!r}...: its references lead to themselves: correct them")


def _next(sign: str, text: str, start: int) -> tuple[int, int] | None:
    """Where the next SIGN(...) begins and ends."""
    begin = text.find(f"{sign}(", start)
    while begin >= 0:
        depth = 0
        for at in range(begin + 2, len(text)):
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            if depth < 0 and at > begin + 2:
                return begin, at
            if depth < 0:
                break  # nothing between the parentheses
        begin = text.find(f"{sign}(", begin + 1)
    return None


def _content(name: str, origin: str) -> str:
    text = schemes.content(name, f"{origin}: @({name}):")
    return text[:-1] if text.endswith(("\n", "\r")) else text


def _defined(keys: Sequence[str], values: Sequence[str]) -> dict[str, str]:
    """The options by name. The first value of a repeated one stays, as in uWSGI."""
    defined: dict[str, str] = {}
    for key, value in zip(keys, values, strict=True):
        if key in DEFINING and "=" in value:
            defined.setdefault(key, value)
            name, _, text = value.partition("=")
            defined.setdefault(name.strip(), text)
        else:
            defined.setdefault(key, value)
    return defined


def _looked_up(name: str, defined: dict[str, str]) -> str | None:
    """An option, or arithmetic over words with spaces between, from left to right: %(processes + 2)."""
    if " " not in name:
        return defined.get(name)
    result = ""
    operator = ""
    for word in name.split(" "):
        if not word:
            continue
        if word in ("+", "-", "*", "/"):
            operator = word
        elif word in ("++", "--"):
            result, operator = str(_whole(result) + (1 if word == "++" else -1)), ""
        else:
            value = word if word.lstrip("-").isdigit() else defined.get(word, "")
            result = _applied(operator, result, value)
    return result


def _applied(operator: str, left: str, right: str) -> str:
    if not operator:
        return left + right
    one, two = _whole(left), _whole(right)
    if operator == "/":  # C's division, and 0 where it cannot be
        return str(int(one / two)) if two else "0"
    return str({"+": one + two, "-": one - two, "*": one * two}[operator])


def _whole(text: str) -> int:
    """strtoll(3): the number a text begins with, else 0."""
    match = _NUMBER.match(text)
    return int(match[1]) if match else 0
