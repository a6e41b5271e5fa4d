"""uWSGI's legions: several machines that agree on one, the lord. Here there is one machine.

A legion that nobody else can be in has this machine for its lord. With other nodes, or a multicast address,
nobody here knows who the lord is.
"""

from __future__ import annotations

from collections.abc import Iterable

#: Options that name a legion first; the second word is an address.
_LEGION = ("legion", "legion-mcast")


def alone(options: Iterable[tuple[str, str | None]], name: str) -> bool | None:
    """True for a legion of this machine alone, False for one of several, None for one that is not given.

    options: names and texts as they were given; of those of --set the value may be an option too.
    """
    found = False
    for key, text in options:
        option, value = _unset(key, text or "")
        words = value.split()
        if not words or words[0] != name:
            continue
        if option == "legion-node" or (option in _LEGION and len(words) > 1 and _is_multicast(words[1])):
            return False
        found = found or option in _LEGION
    return True if found else None


def _unset(key: str, text: str) -> tuple[str, str]:
    if key != "set" or "=" not in text:
        return key, text
    name, _, value = text.partition("=")
    return name.strip(), value


def _is_multicast(address: str) -> bool:
    first = address.partition(".")[0]
    return first.isdigit() and 224 <= int(first) <= 239
