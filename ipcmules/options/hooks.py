"""What is done at the start and at the end beside the bus: uWSGI's hook-* and exec-*."""

from __future__ import annotations

from dataclasses import dataclass

from ipcmules.options.kinds import Kind
from ipcmules.options.option import SAME, Option, entry

#: What a hook can do (KIND:ARGUMENT), here and in --hook-as-mule.
ACTIONS = (
    *("exec", "safeexec", "print", "log", "cd", "chdir", "mkdir", "chmod", "putenv", "create", "creat"),
    *("write", "writen", "append", "appendn", "writefifo", "unlink"),
)

_HOOK = Kind("start hooks", metavar="KIND:ARG", many=True)
_COMMAND = Kind("start commands", metavar="COMMAND", many=True)


def _at(when: str, *names: str) -> tuple[Option, ...]:
    """hook-NAME and exec-NAME for each of the names."""
    return tuple(
        Option(f"{what}-{name}", kind, text, SAME, argument="", only="files")
        for name in names
        for what, kind, text in (
            ("hook", _HOOK, f"Do this {when}."),
            ("exec", _COMMAND, f"Run COMMAND {when}."),
        )
    )


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Hooks:
    """Hooks. These are no fields of a bus's description: the launcher uses them up."""

    hooks_asap: tuple[str, ...] = entry((), *_at("before anything else, at a reload too", "asap"))
    hooks_as_root: tuple[str, ...] = entry(
        (), *_at("as root, before uid and gid are changed", "pre-jail", "post-jail", "in-jail", "as-root")
    )
    hooks_as_user: tuple[str, ...] = entry((), *_at("as the user that root has become", "as-user"))
    hooks_before: tuple[str, ...] = entry(
        (), *_at("before the app is loaded, at a reload too; a failure stops the start", "pre-app")
    )
    hooks_after: tuple[str, ...] = entry(
        (),
        *_at("once the app is loaded and the bus is ready", "post-app"),
        Option("hook-master-start", _HOOK, "Do this once the bus is ready.", SAME, argument="", only="files"),
    )
    hooks_at_exit: tuple[str, ...] = entry((), *_at("when everything has ended", "as-user-atexit"))
