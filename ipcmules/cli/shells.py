"""What bash, zsh and fish make of a line before they ask what could come next. Knows click's completion.

click has the scripts and the answers. What it does not know: how each of them treats `--option=val`. fish and
zsh take it as one word and put one word in its place; bash cuts it into three.
"""

from __future__ import annotations

from typing import Any

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

from ipcmules.kernel.printable import for_people


class _Whole(ShellComplete):
    """A shell that puts one word in place of `--option=val`."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        """See click: what is offered is the whole word again."""
        found = super().get_completions(args, incomplete)
        option, equals, _value = incomplete.partition("=")
        if option.startswith("--") and equals:
            for each in found:
                if each.type == "plain" and not each.value.startswith("--"):
                    each.value = f"{option}={each.value}"
        return [_shown(each) for each in found]


def _shown(item: CompletionItem[Any]) -> CompletionItem[Any]:
    """An item whose help is a line: reasons and names of others may hold any bytes."""
    if item.help:
        item.help = for_people(item.help)
    return item


class Bash(BashComplete):
    """bash: `--option=val` is three words (COMP_WORDBREAKS)."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """See click: without the `=` behind an option."""
        args, incomplete = super().get_completion_args()
        return [
            each for at, each in enumerate(args) if not (each == "=" and at and args[at - 1].startswith("--"))
        ], incomplete


class Fish(_Whole, FishComplete):
    """fish."""


class Zsh(_Whole, ZshComplete):
    """zsh."""


def register() -> None:
    """Have click ask these."""
    for each in (Bash, Fish, Zsh):
        add_completion_class(each)
