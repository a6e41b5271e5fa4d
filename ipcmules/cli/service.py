"""`ipcmules service`: a systemd unit from the arguments of `ipcmules run`."""

from __future__ import annotations

import os
import pwd
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import click

from ipcmules.bus.config import BusConfig
from ipcmules.bus.places import RUNTIME_VARIABLE, STATE_VARIABLE
from ipcmules.cli import run, unit
from ipcmules.cli.assembly import build
from ipcmules.cli.options import Given
from ipcmules.cli.unit import Unit
from ipcmules.errors import ConfigError
from ipcmules.kernel import commandline

#: Where parsing leaves the words of `run` itself, and those behind '--'.
_WORDS = "ipcmules.words"
#: Users below are the system's. When others log out, logind removes their kernel objects (logind.conf(5)).
_FIRST_PERSON = 1000


class _WritesUnit(run.DescribesBus):
    """As `run`; keeps the words, for the unit says them again."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See DescribesBus."""
        rest = super().parse_args(ctx, list(args))
        if not ctx.resilient_parsing:
            ctx.meta[_WORDS] = self._words_of_run(args)
        return rest

    def _words_of_run(self, arguments: Sequence[str]) -> list[str]:
        """What of the arguments before '--' is for `run`."""
        own, valued = {"--output", "-o", "--user", "--force"}, self._with_value()
        kept: list[str] = []
        words = iter(arguments)
        for word in words:
            if word == "--":
                break
            values = [each for each in (next(words, None),) if each is not None] if word in valued else []
            if word.partition("=")[0] not in own:
                kept += [word, *values]
        return kept


@click.pass_context
def _write(ctx: click.Context, /, output: str | None, force: bool, user: str, **values: Any) -> int:
    commandline.add_own_programs()  # as `run` does: it looks for the same programs
    given = run.collect(ctx, values)
    described = build(given, values["bus"], run.command_of(ctx))
    made = _unit(described, given, ctx.meta[_WORDS], user)
    text = unit.text(made)
    path = output or f"ipcmules-{described.name}.service"
    name = path if path.endswith(".service") else f"ipcmules-{described.name}.service"
    if path == "-":
        print(text, end="")
    else:
        unit.write(path, text, force)
    said = unit.complaints(name, text)
    _explain(made, path, said)
    return 1 if said else 0


def _unit(described: BusConfig, given: Given, words: Sequence[str], user: str) -> Unit:
    """The unit of a bus. words: of the options of `run`."""
    from ipcmules.master.run import open_files
    from ipcmules.messages import queues

    asked = given.get("uid", "")
    drops = bool(not user and given.get("hooks_as_root", ()))
    named = [] if any(each.partition("=")[0] == "--bus" for each in words) else ["--bus", described.name]
    command = [unit.absolute(each) if not at else each for at, each in enumerate(described.command)]
    return Unit(
        bus=described.name,
        title=f"ipcmules bus {described.name}",
        # The name is said whatever IPCMULES_BUS is here: the unit has another environment.
        words=[*unit.launcher(), "run", *named, *words, *(["--", *command] if command else [])],
        mercy=described.mercy,
        user="" if drops else _checked(user or asked or _this_user()),
        group="" if drops else given.get("gid", ""),
        drops=drops,
        queue_bytes=queues.bytes_for(described),
        files=f"1024:{max(open_files(described), 524288)}",
        state="" if drops else f"ipcmules-{described.name}",
    )


def _this_user() -> str:
    """Whose unit it is where nothing names one; nobody's in particular for root."""
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name if uid else ""
    except KeyError:
        return str(uid)


def _checked(user: str) -> str:
    if not user or user.isdigit():
        return user
    try:
        return pwd.getpwnam(user).pw_name
    except KeyError:
        raise ConfigError(
            f"--user: there is no user {user!r} on this machine: create it, or correct it"
        ) from None


def _explain(made: Unit, path: str, said: Sequence[str] | None) -> None:
    """What was written, what is to be done with it, and what may be wrong, on stderr."""
    lines = []
    if path != "-":
        name = os.path.basename(path)
        lines.append(f"{path} is written. Install it with:\n")
        lines.append(f"    sudo cp {path} /etc/systemd/system/ && sudo systemctl daemon-reload")
        lines.append(f"    sudo systemctl enable --now {name}\n")
    if made.directory:
        sudo = f"sudo -u {made.user} " if made.user else "sudo "
        runtime = f"{RUNTIME_VARIABLE}=/run/{made.directory}/ipcmules"
        state = f"{STATE_VARIABLE}=/var/lib/{made.state}/ipcmules"
        program = shlex.join(unit.launcher())
        lines.append(f"Commands on this bus: {sudo}{runtime} {state} {program} status --bus {made.bus}")
    if made.drops:
        lines.append("look: it starts as root for hooks and drops to a user: it has no directory below /run")
    elif not made.user:
        lines.append("look: it runs as root: name a user with --user")
    elif _is_person(made.user):
        lines.append(
            f"look: {made.user} is no system user: systemd-logind removes their queues when they log out, "
            "unless /etc/systemd/logind.conf has RemoveIPC=no: use a system user, or set that"
        )
    if said is None:
        lines.append("not checked: there is no systemd-analyze here")
    lines += [f"systemd-analyze verify: {each}" for each in said or ()]
    print("\n".join(lines), file=sys.stderr)


def _is_person(user: str) -> bool:
    try:
        return (int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid) >= _FIRST_PERSON
    except KeyError:
        return False


command = _WritesUnit(
    "service",
    callback=_write,
    params=[
        *run.command.params,
        click.Option(
            ["--output", "-o"],
            metavar="FILE.service",
            help="Where to write [default: ipcmules-NAME.service]; - is stdout.",
        ),
        click.Option(["--force"], is_flag=True, help="Write over a file that exists."),
        click.Option(
            ["--user"],
            metavar="USER",
            default="",
            help="Who runs it [default: uid of the configuration, else this user].",
        ),
    ],
    options_metavar="[OPTIONS] [-- COMMAND...]",
    help="Write a systemd unit that starts a bus of these options, in this directory.\n\n"
    "The options are those of 'ipcmules run'; nothing is started. The unit is checked with 'systemd-analyze "
    "verify', where that is installed. Exits with 1 if it complains.",
)
