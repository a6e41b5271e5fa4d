"""The options of a bus as click's, and their help: in groups, within 80 columns, no word broken.

Made from the table of options. Values stay text here: readers.py reads them, for files as well.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

import click
from click.shell_completion import CompletionItem

from ipcmules.cli import completing
from ipcmules.options.kinds import Choice
from ipcmules.options.option import Option
from ipcmules.options.table import TABLE, default_text

#: Columns: of the whole, and where the text of an option begins.
_WIDTH, _TEXT = 80, 26
#: The group of what the table does not know: --help, and a command's own options.
_MORE = "More"


class BusOption(click.Option):
    """An option of the table."""

    def __init__(self, option: Option) -> None:
        self.option = option
        flag = option.kind.toml == "flag"
        super().__init__(
            [*option.flags, parameter(option)],
            is_flag=flag or None,  # False would make the value optional
            metavar=None if flag else option.kind.metavar,
            multiple=option.kind.many,
            help=help_text(option),
            shell_complete=_complete,
        )


def parameter(option: Option) -> str:
    """The name that click has for an option's value."""
    return option.name.replace("-", "_")


def parameters() -> list[click.Parameter]:
    """All options of a bus that a command line can have."""
    return [BusOption(each) for each in TABLE if each.flags]


def help_text(option: Option) -> str:
    """What an option does, and its default."""
    default = default_text(option)
    if not default:
        return option.help
    return f"{option.help.removesuffix('.')} [default: {default}]."


def _complete(ctx: click.Context, given: click.Parameter, incomplete: str) -> list[CompletionItem]:
    assert isinstance(given, BusOption)
    kind = given.option.kind
    if given.option.name == "bus":
        return completing.buses(ctx, given, incomplete)
    if isinstance(kind, Choice):
        return [CompletionItem(each) for each in kind.words if each.startswith(incomplete)]
    return [CompletionItem(incomplete, type=kind.complete)] if kind.complete else []


def help_in_groups(parameters: Iterable[click.Parameter], ctx: click.Context) -> str:
    """The options of a command, each below the title of its group."""
    groups: dict[str, list[str]] = {}
    for each in parameters:
        record = each.get_help_record(ctx)
        if record is not None:
            title = each.option.group if isinstance(each, BusOption) else _MORE
            groups.setdefault(title, []).extend(_lines(*record))
    return "\n\n".join("\n".join([f"{title}:", *lines]) for title, lines in groups.items())


def _lines(names: str, text: str) -> Sequence[str]:
    """An option and its text, which begins on a line of its own where the names are too long."""
    room = " " * _TEXT
    wrapped = textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=room,
        subsequent_indent=room,
        break_long_words=False,
        break_on_hyphens=False,
    )
    if len(names) > _TEXT - 4:
        return [f"  {names}", *wrapped]
    return [f"  {names}".ljust(_TEXT) + wrapped[0].strip(), *wrapped[1:]] if wrapped else [f"  {names}"]
