"""KEY=VALUE,KEY=VALUE: how the options that describe one thing are written."""

from __future__ import annotations

from collections.abc import Iterator

from ipcmules.errors import ConfigError


def pairs(text: str, example: str) -> Iterator[tuple[str, str]]:
    """Each key with its value. Raises ConfigError, with an example, for what is no pair."""
    for each in filter(None, text.split(",")):
        key, equals, value = (part.strip() for part in each.partition("="))
        if not equals or not value:
            raise ConfigError(f"{each!r} in {text!r} is not KEY=VALUE: write it so, such as {example}")
        yield key, value
