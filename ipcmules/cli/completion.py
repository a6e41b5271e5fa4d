"""`ipcmules completion`: the script that teaches a shell to complete our command lines."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> int:
    """Print the script by which SHELL completes commands, options and what buses have.

    \b
    bash: ipcmules completion bash > ~/.local/share/bash-completion/completions/ipcmules
    zsh:  ipcmules completion zsh > DIR/_ipcmules, where DIR is in $fpath
    fish: ipcmules completion fish > ~/.config/fish/completions/ipcmules.fish
    """
    found = get_completion_class(shell)
    assert found is not None
    root = ctx.find_root()
    # source() of bash would first run bash to look at its version.
    complete = found(root.command, {}, "ipcmules", "_IPCMULES_COMPLETE")
    click.echo(complete.source_template % complete.source_vars())
    return 0
