"""Bus: a bus of its own inside a program, whatever threads or start methods the program uses.

Starts a master from a clean interpreter, tells it the bus's description over a socket pair, joins the
bus, and stops it at the end. Knows configuration, membership and how to start a master; not what it does.
What it takes is in embed/signature.py, how that is read in embed/arguments.py.
"""

from __future__ import annotations

import atexit
import base64
import json
import os
import pickle
import secrets
import signal
import socket
import subprocess
import sys
from types import TracebackType
from typing import Any

from ipcmules import errors
from ipcmules.api import presence
from ipcmules.bus import log, reloading
from ipcmules.bus.config import BusConfig
from ipcmules.bus.places import BUS_VARIABLE, RUNTIME_VARIABLE, places, runtime_root
from ipcmules.embed import arguments
from ipcmules.embed.attachment import Calls
from ipcmules.embed.signature import Signature
from ipcmules.errors import BusRunning, NotAttached, StartError
from ipcmules.kernel import kill, processes, unpatched
from ipcmules.kernel.exhaustion import importing
from ipcmules.kernel.interruption import noted
from ipcmules.kernel.processes import ProcessId, start_time
from ipcmules.kernel.spawn import own_code
from ipcmules.member import membership
from ipcmules.process import hooks


class Bus(Signature, Calls):
    """A bus embedded in this program; a context manager, or start() and stop().

    The flat functions are its methods. What it takes is said at __init__.
    """

    def _describe(self, name: str | None, given: dict[str, Any]) -> None:
        """Take what __init__ was given."""
        self.name = name or f"bus-{os.getpid()}-{secrets.token_hex(4)}"
        self._config = BusConfig(name=self.name, named=name is not None, **arguments.described(given))
        self._process: subprocess.Popen[bytes] | None = None
        #: The process as soon as it is there, and whether it was told to end.
        self._spawned: list[subprocess.Popen[bytes]] = []
        self._told = False
        self._master = ProcessId(0, 0)
        self._channel: socket.socket | None = None
        self._environment: dict[str, str | None] = {}
        self._owner = 0
        self._turn = unpatched.RLock()

    def start(self) -> Bus:
        """Start the bus and wait until it is ready: every mule loaded and listening.

        Raises StartError with the traceback of an app or program that failed to load, LimitError,
        BusRunning if the name is taken or this process is on a bus already.
        """
        with self._turn:
            self._refuse_twice()
            config = self._complete()
            ours, theirs = socket.socketpair()
            self._channel, self._owner = ours, os.getpid()
            try:
                with theirs:
                    self._process = noted(self._spawned, _master, theirs)
                self._master = ProcessId(self._process.pid, start_time(self._process.pid))
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
            _say_what_stays(self._config)
        return BusConfig.from_json(data)

    def _export(self) -> None:
        """Children of this program, whatever starts them, find the bus by the environment."""
        exported = {BUS_VARIABLE: self.name, RUNTIME_VARIABLE: os.path.realpath(runtime_root())}
        for name, value in exported.items():
            self._environment[name] = os.environ.get(name)
            os.environ[name] = value

    def _end(self) -> None:
        try:
            self._end_once()
        except BaseException:  # a signal handler of the program: what is left to do is done all the same
            self._end_once()
            raise

    def _end_once(self) -> None:
        """Each step is done once, or again where it was interrupted."""
        presence.stop()
        member = membership.peek()
        if member is not None and member.where.bus == self.name:
            # While the mules still work: its lanes are freed as they are taken.
            membership.leave(for_good=True)
        for process in self._spawned:
            if not self._told:  # a second time it would end the bus at once
                self._told = kill.send(ProcessId(process.pid, start_time(process.pid)), signal.SIGTERM)
            process.wait()
        self._spawned.clear()
        self._process, self._told = None, False
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
    with importing:
        from ipcmules.spooler import calls

    return any(each.kind == "pickled" for each in config.mules) or (
        bool(config.spoolers) and calls.any_registered()
    )


def _say_what_stays(config: BusConfig) -> None:
    """What was registered in a main module that nobody else can import works in this process alone."""
    with importing:
        from ipcmules.spooler import calls

    here = [each.handler for each in membership.registry.registrations()]
    here = [each for each in here if getattr(each, "__module__", None) == "__main__"]
    tasks = bool(config.spoolers) and calls.any_registered()
    if arguments.main_can_be_loaded() or not (here or tasks or hooks.any_recorded()):
        return
    log.event(
        "warning",
        "the mules and spoolers of this bus cannot load this program's main module (it is no file of its "
        "own: python -c, standard input, a zip file): what it registers (signals, hooks, tasks) is handled "
        "in this process at most; put it into a module, and give its name to Bus(imports=[...])",
    )


def _preparation() -> str:
    """What multiprocess tells a spawned child: how to import this program's main module again."""
    with importing:
        from multiprocess import spawn

    data = spawn.get_preparation_data("ipcmules")
    # An AuthenticationString refuses to be pickled outside a spawn; as bytes it is taken all the same.
    data["authkey"] = bytes(data["authkey"])
    if not arguments.main_can_be_loaded():
        data.pop("init_main_from_path", None)
        data.pop("init_main_from_name", None)
    return base64.b64encode(pickle.dumps(data)).decode()


def _master(theirs: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        own_code("ipcmules.master.embedded", theirs.fileno()),
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
