"""Starting another program as the master's child: the template's interpreter, the command.

fork and exec by hand rather than subprocess: the child must ask for a signal at its parent's death
between the two, and the master reaps its children itself. Only safe because the master has one thread.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from ipcmules.kernel import linux

#: What Python ignores and programs expect at its default.
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


#: The interpreter adds the current directory (as '') or nothing to sys.path; neither that nor what an app
#: puts there may come before our own code.
_OWN_CODE = """\
import sys
from importlib import import_module
root = sys.argv[1]
sys.path[:] = [path for path in sys.path if path]
if root not in sys.path:
    sys.path.append(root)
sys.exit(import_module(sys.argv[2]).main(*sys.argv[3:]))
"""


def own_code(module: str, *arguments: object) -> list[str]:
    """The command line that calls main() of a module of ours in a clean interpreter, with these as texts."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return [sys.executable, "-c", _OWN_CODE, root, module, *map(str, arguments)]


def spawn(
    arguments: Sequence[str],
    directory: str,
    keep: int | tuple[int, ...] | None = None,
    *,
    group: bool = False,
    silent: bool = False,
    output: int | None = None,
    environment: Mapping[str, str] | None = None,
    user: tuple[int, int] = (0, 0),
) -> int:
    """Start a program and return its pid.

    arguments: argv; the program is looked up in PATH as execvp does. directory: its current directory.
    keep: descriptors that it inherits under the same numbers. group: it leads a process group of its own.
    silent: its stdin is /dev/null. output: a descriptor that becomes its stdout and stderr.
    environment: what it finds there beside this process's own. user: uid and gid that it runs with, 0 for
    those of this process.
    It gets SIGTERM when the master dies.
    Raises OSError as chdir or exec do.
    """
    reader, writer = os.pipe()
    master = os.getpid()
    try:
        pid = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        raise
    if pid == 0:
        surroundings = {**os.environ, **(environment or {})}
        _become(arguments, directory, keep, writer, master, group, silent, output, surroundings, user)
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
    environment: Mapping[str, str],
    user: tuple[int, int],
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
        _change_user(*user)
        linux.die_with_parent(signal.SIGTERM)  # after the change of user, which takes it back (prctl(2))
        if os.getppid() != master:
            os._exit(127)
        os.chdir(directory)
        os.execvpe(arguments[0], list(arguments), environment)
    except OSError as error:
        os.write(writer, b"%d" % (error.errno or 1))
    finally:
        os._exit(127)


def _change_user(uid: int, gid: int) -> None:
    if gid:
        os.setgid(gid)
    if (uid or gid) and os.geteuid() == 0:
        os.setgroups([gid] if gid else [])  # root's groups are not theirs
    if uid:
        os.setuid(uid)
