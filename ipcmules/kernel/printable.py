"""Text from elsewhere as people may see it, in a log, on a terminal, in a table: it cannot steer a terminal.

Names of files and functions, texts of errors, arguments and messages come from others. Knows text alone.
"""

from __future__ import annotations

from collections.abc import Callable


def for_people(text: str | bytes, lines: bool = False) -> str:
    """A text in which every character can be seen: what cannot is written out, as in '\\x1b' and '\\n'.

    bytes are read as UTF-8. lines: newlines and tabs stay, for texts of several lines such as tracebacks.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(map(_with_lines if lines else _visible, text))


def shown(value: object) -> str:
    """repr() of what the app made, as an exception, whose own repr() may raise."""
    return _asked(repr, value)


def worded(error: object) -> str:
    """str() of the same."""
    return _asked(str, error)


def _asked(how: Callable[[object], str], value: object) -> str:
    try:
        return how(value)
    except Exception as error:  # whatever it raises
        return f"<{type(value).__name__}, whose {how.__name__}() raises {type(error).__name__}>"


def _visible(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]


def _with_lines(character: str) -> str:
    return character if character in "\n\t" else _visible(character)
