"""Commands that have commands: their help has the whole first sentence of each, within 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

import click

#: Columns of help, and where the text of a command begins.
_WIDTH, _TEXT = 80, 14


class Group(click.Group):
    """A group of commands."""

    def sections(self, ctx: click.Context) -> Iterable[tuple[str, Iterable[str]]]:
        """Titles, and the names of the commands below each."""
        return [("Commands", self.list_commands(ctx))]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See click.Group."""
        for title, names in self.sections(ctx):
            formatter.write(f"\n{title}:\n")
            for name in names:
                command = self.get_command(ctx, name)
                text = command.get_short_help_str(1000) if command is not None else ""
                first = f"  {name}".ljust(_TEXT)
                lines = textwrap.wrap(text, _WIDTH - _TEXT, break_on_hyphens=False)
                formatter.write(f"{first}{f'{chr(10)}{chr(32) * _TEXT}'.join(lines)}\n")
