"""`ipcmules doctor`: is this machine, and this user's surroundings, ready for a bus?"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from ipcmules.cli import checks, run
from ipcmules.cli.assembly import build
from ipcmules.cli.checks import Finding
from ipcmules.kernel import commandline

_MARKS = {checks.OK: "ok  ", checks.NOTE: "note", checks.BAD: "BAD "}


@click.pass_context
def _examine(ctx: click.Context, /, as_json: bool, **values: Any) -> int:
    commandline.add_own_programs()  # as `run` does: it looks for the same programs
    described = build(run.collect(ctx, {**values, "json": ()}), values["bus"])
    findings = [
        *checks.versions(),
        *checks.directories(),
        *checks.shared_memory(),
        *checks.limits(),
        *checks.leftovers(),
        *checks.fits(described),
    ]
    if as_json:
        click.echo(json.dumps([asdict(each) for each in findings], indent=2))
    else:
        _print(findings)
    return 1 if any(each.level == checks.BAD for each in findings) else 0


def _print(findings: list[Finding]) -> None:
    for each in findings:
        click.echo(f"{_MARKS[each.level]}  {each.text}")
        if each.remedy:
            click.echo(f"      mend it with: {each.remedy}")
    bad = sum(each.level == checks.BAD for each in findings)
    click.echo(f"{bad} to mend" if bad else "nothing to mend")


command = run.DescribesBus(
    "doctor",
    callback=_examine,
    params=[
        # Here --json says how to print: a uWSGI file in JSON goes by --config's other forms.
        *(each for each in run.command.params if each.name != "json"),
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
    ],
    help="Check limits, directories, leftovers, versions, and whether a bus of these options would fit.\n\n"
    "The options are those of 'ipcmules run'; nothing is started. Prints each finding, with the command that "
    "mends it. Exits with 1 if something must be mended.",
)
