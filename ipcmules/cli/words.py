"""The command for processes of ours that run it: `own_code("ipcmules.cli.words", "dead", "list")`."""

from __future__ import annotations

from ipcmules.cli import main as commands


def main(*words: str) -> None:
    """Run the command line with these words, and exit with its code."""
    commands.main(words)
