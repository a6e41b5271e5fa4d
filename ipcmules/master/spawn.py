"""Starting another program as the master's child: the template's interpreter, the command.

fork and exec by hand rather than subprocess: the child must ask for a signal at its parent's death
between the two, and the master reaps its children itself. Only safe because the master has one thread.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import NoReturn

from ipcmules import linux

#: What Python ignores and programs expect at its default.
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def spawn(
    arguments: Sequence[str],
    directory: str,
    keep: int | tuple[int, ...] | None = None,
    *,
    group: bool = False,
    silent: bool = False,
    output: int | None = None,
) -> int:
    """Start a program and return its pid.

    arguments: argv; the program is looked up in PATH as execvp does. directory: its current directory.
    keep: descriptors that it inherits under the same numbers. group: it leads a process group of its own.
    silent: its stdin is /dev/null. output: a descriptor that becomes its stdout and stderr.
    It gets SIGTERM when the master dies.
    Raises OSError as chdir or exec do.
    """
    reader, writer = os.pipe()
    master = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(arguments, directory, keep, writer, master, group, silent, output)
    os.close(writer)
    try:
        problem = os.read(reader, 64)
    finally:
        os.close(reader)
    if not problem:
        return pid
    os.waitpid(pid, 0)
    code = int(problem)
    raise OSError(code, os.strerror(code))


def _become(
    arguments: Sequence[str],
    directory: str,
    keep: int | tuple[int, ...] | None,
    writer: int,
    master: int,
    group: bool,
    silent: bool,
    output: int | None,
) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        for each in _RESTORED:
            signal.signal(each, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for descriptor in (keep,) if isinstance(keep, int) else keep or ():
            os.set_inheritable(descriptor, True)
        if group:
            os.setpgid(0, 0)
        if silent:
            os.dup2(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), 0)
        if output is not None:
            os.dup2(output, 1)
            os.dup2(output, 2)
        linux.die_with_parent(signal.SIGTERM)
        if os.getppid() != master:
            os._exit(127)
        os.chdir(directory)
        os.execvp(arguments[0], list(arguments))
    except OSError as error:
        os.write(writer, b"%d" % (error.errno or 1))
    finally:
        os._exit(127)
