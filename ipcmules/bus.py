"""Bus: a bus of its own inside a program, whatever threads or start methods the program uses.

Starts a master from a clean interpreter, tells it the bus's description over a socket pair, joins the
bus, and stops it at the end. Knows configuration, membership and how to start a master; not what it does.
How arguments are read is in arguments.py.
"""

from __future__ import annotations

import atexit
import base64
import json
import os
import pickle
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

from ipcmules import arguments, errors, membership, presence, processes, reloading
from ipcmules.arguments import MuleSpec
from ipcmules.attachment import Calls
from ipcmules.config import BusConfig, CronCommand
from ipcmules.errors import BusRunning, NotAttached, StartError
from ipcmules.mule import hooks
from ipcmules.places import BUS_VARIABLE, PACKAGE, RUNTIME_VARIABLE, places, runtime_root

#: Run by the master's interpreter: its own code only, never a module of the current directory, which
#: -m and -c would both put first on sys.path.
_MASTER = """\
import sys
sys.path[0] = sys.argv[1]
from ipcmules.master.__main__ import main
sys.exit(main(sys.argv[2]))
"""


class Bus(Calls):
    """A bus embedded in this program; a context manager, or start() and stop().

    mules: how many signal-only mules, or one entry a mule: None, "path.py", "package.module:callable", or any
        callable (functions, closures and lambdas travel by dill).
    farms: name to the numbers of its mules, from 1.
    processes: workers to start that load the app and serve signals.
    imports: the app, modules or files to load in every process of the bus.
    name: a named bus can be attached to by name, and keeps what it could not deliver; without one the bus is
        unique and keeps nothing.
    settings: values for the app, as --set K=V. pyargv: sys.argv[1:] of "path.py" mules.
    mercy: seconds a stop may take to drain, and a mule to finish what it holds at a reload.
    harakiri: seconds that a message hook or signal handler of a mule may take, 0 for ever.
    max_messages: a mule is replaced after so many, 0 never.
    daemons: commands to run beside the mules. touch_reload: files whose change asks for a reload.
    queue_share: the share of RLIMIT_MSGQUEUE that its queues may take.
    crons: commands to run at certain times, each as --cron has it ("0 3 * * * backup"), or a
        config.CronCommand. cron_harakiri: seconds such a command may take, 0 for ever.
    on_mule_death: 'dead-letter', 'requeue' (at most max_requeues times) or 'drop' a message in the hands of a
        mule that died. on_hook_error: 'log' alone, or 'keep' a message whose hook raised.
    spoolers: spool directories, made where they are missing. spoolers_external: those whose tasks somebody
        else runs. spooler_processes: for each directory. The other spooler_ arguments are the command line's
        options (docs/reference.md): seconds, numbers and flags.

    Raises ConfigError for a description that cannot be. The flat functions are its methods.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        mules: int | Sequence[MuleSpec] = (),
        farms: Mapping[str, Iterable[int]] | None = None,
        locks: int = 0,
        processes: int = 0,
        imports: Sequence[str] = (),
        lazy_apps: bool = False,
        settings: Mapping[str, str] | None = None,
        pyargv: Sequence[str] = (),
        mercy: float = 60.0,
        harakiri: float = 0.0,
        max_messages: int = 0,
        daemons: Sequence[str] = (),
        touch_reload: Sequence[str | os.PathLike[str]] = (),
        queue_share: float = 0.5,
        crons: Sequence[str | CronCommand] = (),
        cron_harakiri: float = 0.0,
        on_mule_death: str = "dead-letter",
        max_requeues: int = 3,
        on_hook_error: str = "log",
        spoolers: Sequence[str | os.PathLike[str]] = (),
        spoolers_external: Sequence[str | os.PathLike[str]] = (),
        spooler_processes: int = 1,
        spooler_frequency: float = 30.0,
        spooler_ordered: bool = False,
        spooler_chdir: str | os.PathLike[str] = "",
        spooler_imports: Sequence[str] = (),
        spooler_quiet: bool = False,
        spooler_max_tasks: int = 0,
        spooler_signal_as_task: bool = False,
        spooler_harakiri: float = 0.0,
        spooler_cheap: bool = False,
        spooler_nice: int = 19,
        spooler_fsync: bool = False,
        spooler_max_attempts: int = 25,
    ) -> None:
        self.name = name or f"bus-{os.getpid()}-{secrets.token_hex(4)}"
        self._config = BusConfig(
            name=self.name,
            named=name is not None,
            mules=arguments.mules(mules),
            farms=arguments.farms(farms),
            processes=processes,
            imports=arguments.texts("imports", imports, "app.py"),
            lazy_apps=lazy_apps,
            locks=locks,
            settings=arguments.settings(settings),
            pyargv=arguments.texts("pyargv", pyargv, "--verbose"),
            mercy=mercy,
            harakiri=harakiri,
            max_messages=max_messages,
            daemons=arguments.daemons(daemons),
            touch_reload=arguments.paths("touch_reload", touch_reload),
            queue_share=queue_share,
            crons=arguments.crons(crons),
            cron_harakiri=cron_harakiri,
            on_mule_death=on_mule_death,
            max_requeues=max_requeues,
            on_hook_error=on_hook_error,
            spoolers=arguments.spools(spoolers, spoolers_external),
            spooler_processes=spooler_processes,
            spooler_frequency=spooler_frequency,
            spooler_ordered=spooler_ordered,
            spooler_chdir=os.path.abspath(spooler_chdir) if spooler_chdir else "",
            spooler_imports=arguments.texts("spooler_imports", spooler_imports, "tasks"),
            spooler_quiet=spooler_quiet,
            spooler_max_tasks=spooler_max_tasks,
            spooler_signal_as_task=spooler_signal_as_task,
            spooler_harakiri=spooler_harakiri,
            spooler_cheap=spooler_cheap,
            spooler_nice=spooler_nice,
            spooler_fsync=spooler_fsync,
            spooler_max_attempts=spooler_max_attempts,
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._environment: dict[str, str | None] = {}
        self._owner = 0
        self._turn = threading.Lock()

    def start(self) -> Bus:
        """Start the bus and wait until it is ready: every mule loaded and listening.

        Raises StartError with the traceback of an app or program that failed to load, LimitError,
        BusRunning if the name is taken or this process is on a bus already.
        """
        with self._turn:
            self._refuse_twice()
            config = self._complete()
            ours, theirs = socket.socketpair()
            with theirs:
                self._process = _spawn_master(theirs)
            self._channel, self._owner = ours, os.getpid()
            try:
                ours.sendall(json.dumps(config.to_json()).encode() + b"\n")
                _raise_failure(_first_line(ours), self._process)
                self._export()
                membership.join(places(self.name), "attached")
            except BaseException:
                self._end()
                raise
            atexit.register(self.stop)
        return self

    def stop(self) -> None:
        """Stop the bus gracefully and wait for its end: mules drain what is queued, within the mercy.

        In a forked child of the program, and where the bus has stopped already, this does nothing.
        """
        if self._owner != os.getpid():
            return
        with self._turn:
            if self._process is not None:
                atexit.unregister(self.stop)
                self._end()

    def reload(self) -> None:
        """Load the code again and replace mules and workers one after the other; nothing queued is lost.

        Returns when all of them run the new code. What is loaded again: imports, the program's main module
        where its registrations or functions are used, and programs given by path or name; functions that were
        given to Bus() stay what they were. Raises ReloadError with the text of the error where the new code
        does not load and the old code stays; NotAttached if the bus was not started, BusStopped if it ended.
        """
        if self._process is None:
            raise NotAttached(f"bus {self.name!r} does not run in this program: start() it first")
        member = membership.current()
        reloading.reload(member.where, member.table, member.description.master)

    @property
    def pid(self) -> int:
        """The master's pid, 0 while the bus is not running."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and running else 0

    def __enter__(self) -> Bus:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _refuse_twice(self) -> None:
        member = membership.peek()
        if member is None and self._process is None:
            return
        if member is not None and member.role == "template":
            raise StartError(
                "a Bus was started while the program's main module was imported again for its mules: "
                'put `with Bus(...)` under `if __name__ == "__main__":`'
            )
        taken = member.where.bus if member is not None else self.name
        raise BusRunning(f"this process is on bus {taken!r} already, and a process has one: stop it first")

    def _complete(self) -> BusConfig:
        """The description with what is known only at the start: this process, its paths, its main module."""
        me = processes.current()
        directory = os.getcwd()
        data = self._config.to_json()
        data["directory"] = directory
        data["paths"] = [os.path.abspath(each or directory) for each in sys.path]
        data["owner"] = [me.pid, me.start]
        # After compat.install() `import uwsgi` is to work in the mules as it does here.
        data["compat"] = getattr(sys.modules.get("uwsgi"), "__name__", "") == "ipcmules.compat.uwsgi"
        if membership.registry.registrations() or hooks.any_recorded() or _has_functions(self._config):
            data["main"] = _preparation()
        return BusConfig.from_json(data)

    def _export(self) -> None:
        """Children of this program, whatever starts them, find the bus by the environment."""
        exported = {BUS_VARIABLE: self.name, RUNTIME_VARIABLE: os.path.realpath(runtime_root())}
        for name, value in exported.items():
            self._environment[name] = os.environ.get(name)
            os.environ[name] = value

    def _end(self) -> None:
        presence.stop()
        member = membership.peek()
        if member is not None and member.where.bus == self.name:
            # While the mules still work: a slow one takes what is buffered here as fast as it can.
            membership.leave(self._config.mercy, for_good=True)
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait()
        # Closed afterwards: to the master it says "stop" too, and a second one ends the bus at once.
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        for name, value in self._environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._environment.clear()


def _has_functions(config: BusConfig) -> bool:
    from ipcmules.spooler import calls

    return any(each.kind == "pickled" for each in config.mules) or (
        bool(config.spoolers) and calls.any_registered()
    )


def _preparation() -> str:
    """What multiprocess tells a spawned child: how to import this program's main module again."""
    from multiprocess import spawn

    data = spawn.get_preparation_data("ipcmules")
    # An AuthenticationString refuses to be pickled outside a spawn; as bytes it is taken all the same.
    data["authkey"] = bytes(data["authkey"])
    return base64.b64encode(pickle.dumps(data)).decode()


def _spawn_master(theirs: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _MASTER, os.path.dirname(PACKAGE), str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        # Ctrl-C is this program's to handle: in a session of its own the master does not see it.
        start_new_session=True,
    )


def _first_line(channel: socket.socket) -> dict[str, Any]:
    """The master's report; empty if it ended without one."""
    with channel.makefile("rb") as file:
        line = file.readline()
    found: dict[str, Any] = json.loads(line) if line else {}
    return found


def _raise_failure(report: dict[str, Any], process: subprocess.Popen[bytes]) -> None:
    if report.get("ready"):
        return
    if not report:
        raise StartError(f"the master of the bus ended with code {process.wait()} before it was ready")
    kind = getattr(errors, str(report.get("error")), StartError)
    raise kind(report.get("message", "the bus did not start"))
