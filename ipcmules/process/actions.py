"""What uWSGI's hooks do, KIND:ARGUMENT: those that need no uWSGI (core/hooks.c). Knows nothing of a bus."""

from __future__ import annotations

import os
import subprocess


def run(hook: str, origin: str) -> None:
    """Do it. Raises OSError, ValueError, or RuntimeError for a command that fails. origin: where it stood."""
    kind, _, argument = hook.removeprefix("!").partition(":")
    first, _, rest = argument.partition(" ")
    if kind in ("exec", "safeexec"):
        code = subprocess.call(argument, shell=True, stdin=subprocess.DEVNULL)
        if code and kind == "exec":
            raise RuntimeError(f"{origin} {hook}: the command ended with code {code}")
    elif kind in ("print", "log"):
        print(argument, flush=True)
    elif kind in ("cd", "chdir"):
        os.chdir(argument)
    elif kind == "mkdir":
        os.mkdir(argument)
    elif kind == "chmod":
        os.chmod(first, int(rest, 8))
    elif kind == "putenv":
        _set_variable(argument)
    elif kind == "unlink":
        os.unlink(argument)
    elif kind in ("create", "creat"):
        open(argument, "w").close()
    else:
        _write(kind, first, rest)


def _set_variable(text: str) -> None:
    name, equals, value = text.partition("=")
    if equals:
        os.environ[name] = value
    else:
        os.environ.pop(name, None)  # putenv(3)


def _write(kind: str, name: str, text: str) -> None:
    """write, writen (with a line's end), append, appendn, writefifo (which never waits for a reader)."""
    flags = {"a": os.O_APPEND | os.O_CREAT, "w": os.O_TRUNC | os.O_CREAT}[kind[0]]
    if kind == "writefifo":
        flags = os.O_NONBLOCK
    descriptor = os.open(name, os.O_WRONLY | flags, 0o666)
    try:
        os.write(descriptor, f"{text}\n".encode() if kind.endswith("n") else text.encode())
    finally:
        os.close(descriptor)
