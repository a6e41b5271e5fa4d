"""`ipcmules migrate`: what becomes of a uWSGI configuration, option by option."""

from __future__ import annotations

import os
import shlex
import sys

import click

from ipcmules.cli import migrated_unit, migration, unit
from ipcmules.compat.catalogue import SERVERS

_TITLES = {
    "bus": "Taken over",
    "server": "For the web server",
    "left": "For the web server, and not in the command below",
    "nothing": "Not needed any more",
    "missing": "Not done here: this will be missing",
    "look": "Look at these yourself",
}


@click.command()
@click.argument("ini", metavar="FILE")
@click.option("--output", "-o", metavar="FILE.toml", help="Where to write [default: beside it]; - is stdout.")
@click.option("--force", is_flag=True, help="Write over a file that exists.")
@click.option("--systemd", is_flag=True, help="Write a systemd unit too, beside the TOML file.")
@click.option(
    "--server",
    type=click.Choice(SERVERS),
    default="gunicorn",
    help="What serves the requests from now on [default: gunicorn].",
)
def command(ini: str, output: str | None, force: bool, systemd: bool, server: str) -> int:
    """Explain a uWSGI configuration (ini, XML, YAML, JSON; FILE:SECTION), and write what takes its place.

    That is a TOML file, and the command line that starts bus and web server.
    """
    found = migration.read(ini, server)
    base = os.path.splitext(ini if os.path.exists(ini) else ini.rpartition(":")[0])[0]
    toml = output or f"{base}.toml"
    out = sys.stderr if toml == "-" else sys.stdout
    _explain(found, out)
    words = list(found.command)
    words[words.index("--config") + 1] = found.command[3] if toml == "-" else toml
    if toml == "-":
        print(found.toml, end="")
    else:
        unit.write(toml, found.toml, force)
        print(f"{toml} is written. Start the bus and the web server with:\n", file=out)
    print(f"    {shlex.join(words)}", file=out)
    for note in found.site.notes:
        print(f"    (look: {note})", file=out)
    if systemd:
        words[words.index("--config") + 1] = os.path.abspath(words[words.index("--config") + 1])
        path = f"{base if toml == '-' else os.path.splitext(toml)[0]}.service"
        text = migrated_unit.of_site(os.path.basename(base), found.bus, words, found.site)
        unit.write(path, text, force)
        for each in unit.complaints(path, text) or ():
            print(f"systemd-analyze verify: {each}", file=out)
        print(f"\n{path} is written: copy it to /etc/systemd/system, then systemctl daemon-reload", file=out)
    return 0


def _explain(found: migration.Migration, out: object) -> None:
    assert hasattr(out, "write")
    for kind, title in _TITLES.items():
        lines = [each for each in found.lines if each.kind == kind]
        if lines:
            print(f"{title}:", file=out)
        for each in lines:
            print(f"  {each.where}: {each.key}{f' = {each.value}' if each.value else ''}", file=out)
            print(f"      {each.text}", file=out)
        if lines:
            print(file=out)
