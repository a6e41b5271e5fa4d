"""Kinds of values: what a value may be, whatever it comes from, and the words for one that it may not be.

A kind that is one number, flag or word reads its text itself. The texts of others are read where what they
need is known, in cli/readers.py, and what Bus() takes for them in embed/arguments.py, by the kind's name.
"""

from __future__ import annotations

import math

from ipcmules.errors import ConfigError

#: What stands for a path in the signature of Bus().
PATH = "str | os.PathLike[str]"


class Kind:
    """A kind of values. Nobody changes one; a frozen dataclass would cost each process that joins a bus more.

    name: by which readers know it. toml: the type in TOML: text, number, seconds, share, flag or pair.
    metavar: what stands for a value in help. many: can be given again, and adds up. argument: the type in the
    signature of Bus(). default: what Bus() has without it, where that is not the field's. example: one value.
    complete: what a shell offers, 'file' or 'dir'.
    """

    def __init__(
        self,
        name: str,
        toml: str = "text",
        metavar: str = "TEXT",
        *,
        many: bool = False,
        argument: str = "str",
        default: str = "",
        example: str = "",
        complete: str = "",
    ) -> None:
        self.name = name
        self.toml = toml
        self.metavar = metavar
        self.many = many
        self.argument = argument
        self.default = default
        self.example = example
        self.complete = complete

    def read(self, text: str) -> object:
        """The value of a text. Raises ConfigError that names the text, the reason and the remedy."""
        raise NotImplementedError(self.name)

    def check(self, name: str, value: object) -> None:
        """Raise ConfigError for a value that cannot be. name: what it is called where it was given."""


class Number(Kind):
    """A whole number. says: the range in words."""

    def __init__(self, lowest: int = 0, highest: int = 4096, says: str = "") -> None:
        super().__init__("number", "number", "N", argument="int")
        self.lowest = lowest
        self.highest = highest
        self._range = says or f" from {lowest} to {highest}"

    def read(self, text: str) -> int:
        """See Kind."""
        digits = text[1:] if self.lowest < 0 and text.startswith("-") else text
        # int() alone would take '1_000', ' 3 ' and the digits of other scripts.
        plain = digits.isascii() and digits.isdigit() and len(digits) <= 19
        if plain and self.lowest <= int(text) <= self.highest:
            return int(text)
        raise ConfigError(f"{text!r} is not a whole number{self._range}: give one")

    def check(self, name: str, value: object) -> None:
        """See Kind."""
        # bool is an int in Python.
        if type(value) is not int or not self.lowest <= value <= self.highest:
            raise ConfigError(f"{name}={value!r}: give a number{self._range}")


class Seconds(Kind):
    """A time in seconds. says: the range in words; above: the lowest itself is not one of them."""

    def __init__(
        self,
        highest: float = math.inf,
        *,
        above: bool = False,
        says: str = "0 or more",
        example: str = "60 or 0.5",
    ) -> None:
        super().__init__("seconds", "seconds", "SECONDS", argument="float", example=example)
        self.highest = highest
        self.above = above
        self.says = says

    def _is_low(self, value: float) -> bool:
        return not (value > 0 if self.above else value >= 0)

    def read(self, text: str) -> float:
        """See Kind."""
        value = finite(text)
        if value is None or self._is_low(value):
            raise ConfigError(f"{text!r} is not a time: give seconds, {self.says}, such as {self.example}")
        if value > self.highest:
            raise ConfigError(
                f"{text!r} is too long a time: give seconds up to {self.highest:g}, or 0 for none"
            )
        return value

    def check(self, name: str, value: object) -> None:
        """See Kind."""
        if self._is_low(real(name, value)) or real(name, value) > self.highest:
            raise ConfigError(f"{name}={value!r}: give seconds, {self.says}")


class Share(Kind):
    """A share above 0 and up to 1."""

    def __init__(self) -> None:
        super().__init__("share", "share", "SHARE", argument="float")

    def read(self, text: str) -> float:
        """See Kind."""
        value = finite(text)
        if value is None or not 0 < value <= 1:
            raise ConfigError(f"{text!r} is not a share: give a number above 0, up to 1, such as 0.5")
        return value

    def check(self, name: str, value: object) -> None:
        """See Kind."""
        if not 0 < real(name, value) <= 1:
            raise ConfigError(f"{name}={value!r}: give a share above 0, up to 1")


class Flag(Kind):
    """Yes or no; without a value it is yes, as in uWSGI."""

    def __init__(self) -> None:
        super().__init__("flag", "flag", "", argument="bool")

    def read(self, text: str) -> bool:
        """See Kind."""
        word = text.lower()
        if word in ("", "true", "yes", "on", "1"):
            return True
        if word in ("false", "no", "off", "0"):
            return False
        raise ConfigError(f"{text!r} is neither true nor false: write one of them, or the option alone")

    def check(self, name: str, value: object) -> None:
        """See Kind."""
        if type(value) is not bool:
            raise ConfigError(f"{name}={value!r}: give True or False")


class Choice(Kind):
    """One of some words."""

    def __init__(self, *words: str) -> None:
        super().__init__("choice", metavar="|".join(words))
        self.words = words

    def read(self, text: str) -> str:
        """See Kind."""
        if text in self.words:
            return text
        raise ConfigError(f"{text!r} is not known: give one of {', '.join(self.words)}")

    def check(self, name: str, value: object) -> None:
        """See Kind."""
        if value not in self.words:
            raise ConfigError(f"{name}={value!r}: give one of {', '.join(self.words)}")


def signal_name(text: str) -> str:
    """HUP and SIGHUP as SIGHUP; '' where this system has no such signal."""
    import signal

    name = f"SIG{text.upper().removeprefix('SIG')}"
    return name if name in signal.Signals.__members__ else ""


class SignalName(Kind):
    """A signal of the operating system, by its name: HUP, SIGUSR2."""

    def __init__(self) -> None:
        super().__init__("operating system signal", metavar="SIGNAL")

    def read(self, text: str) -> str:
        """See Kind."""
        name = signal_name(text)
        if name:
            return name
        raise ConfigError(f"{text!r} is no signal of this system: give a name such as HUP or USR2")

    def check(self, name: str, value: object) -> None:
        """See Kind."""
        if value:
            self.read(str(value))


class Text(Kind):
    """A text that is not blank; or, with many, several. what: the noun for it in errors."""

    def __init__(
        self,
        what: str,
        metavar: str,
        *,
        name: str = "text",
        many: bool = False,
        argument: str = "str",
        example: str = "",
        complete: str = "",
    ) -> None:
        super().__init__(
            name, metavar=metavar, many=many, argument=argument, example=example, complete=complete
        )
        self.what = what

    def read(self, text: str) -> object:
        """See Kind."""
        nonblank(text, self.what)
        return (text,) if self.many else text


def nonblank(text: str, what: str) -> str:
    """The text, unless it is blank: ConfigError. what: the noun for it."""
    if not text.strip() or "\0" in text:
        raise ConfigError(f"{text!r} is no {what}: give one")
    return text


def finite(text: str) -> float | None:
    """The number of a text, None where it has none, or one without an end."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def real(name: str, value: object) -> float:
    """A value that is an int or a float, as a float; ConfigError for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{name}={value!r}: give a number")
    return value


FLAG = Flag()
SHARE = Share()
MERCY = Seconds()
#: After which something is killed.
HARAKIRI = Seconds(highest=1e9)
#: After which something is replaced.
COUNT = Number(highest=2**62, says=", 0 (never) or more")
DIRECTORY = Text("directory", "DIR", name="directory", argument=PATH, complete="dir")
DIRECTORIES = Text("directory", "DIR", name="directories", many=True, complete="dir")
FILES = Text(
    "file", "FILE", name="files", many=True, argument=f"Sequence[{PATH}]", example="app.py", complete="file"
)
MODULES = Text(
    "module or file",
    "MODULE|FILE",
    name="modules",
    many=True,
    argument="Sequence[str]",
    example="app.py",
    complete="file",
)
PAIRS = Kind("pairs", "pair", "KEY=VALUE", many=True, argument="Mapping[str, str] | None", default="None")
