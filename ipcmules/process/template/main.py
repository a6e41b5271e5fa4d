"""The template: the process that loads the app once and forks the mules and workers.

Speaks JSON lines with the master over the socket it is given. From the master: {"fork": [[role,
number], ...]}. To the master: {"loaded": true}, {"failed": traceback}, {"forked": [role, number, pid]},
{"refused": [role, number, reason]}. End of file ends it. Runs user code, so nothing of the supervisor
is in it.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
from typing import Any

from ipcmules.bus import log
from ipcmules.bus.config import BusConfig
from ipcmules.bus.places import BUS_VARIABLE, places
from ipcmules.kernel import exhaustion, linux, processes, stray, unpatched
from ipcmules.member import membership
from ipcmules.process import apps, failures, stacks
from ipcmules.process.template import forked, later, trials  # noqa: F401 # later: for what it imports


def main(*numbers: str) -> None:
    """What kernel/spawn.py calls in the new interpreter, with the arguments of serve() as texts."""
    serve(*map(int, numbers))


def serve(descriptor: int, master: int, code: int, trial: int) -> None:
    """Load the app, then fork what the master asks for until it closes the socket.

    descriptor: this end of the socket to the master. master: the master's pid. code: the generation of the
    code that is loaded here. trial: not 0 at a reload, where what the mules will load is tried first.
    """
    linux.die_with_parent(signal.SIGTERM)
    if os.getppid() != master:
        return
    # A terminal sends both to all its processes: what follows from them is the master's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stray.ignore(stray.USER)
    os.set_inheritable(descriptor, False)
    link = _Link(descriptor)
    log.configure()
    where = places(os.environ[BUS_VARIABLE])
    log.identify(where.bus, "template")
    processes.set_title(f"ipcmules: {where.bus} template")
    _set_streams()
    stacks.ready(where.stack("template"))
    membership.registry.code = code
    try:
        config = membership.join(where, "template").description.config
        _load(config)
        if trial:
            trials.run(config)
    except BaseException as error:
        link.send({"failed": failures.describe(error)})
        return
    # What is there now stays shared with the children: no collection writes to it (gc.freeze).
    gc.collect()
    gc.freeze()
    link.send({"loaded": True})
    while (request := link.receive()) is not None:
        _fork_all(link, request["fork"], master)


def _set_streams() -> None:
    """stdin from the null device; lines of stdout and stderr leave at once."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True, write_through=False)


def _load(config: BusConfig) -> None:
    apps.prepare_path(config)
    sys.argv = ["ipcmules", *config.pyargv]
    if not config.lazy_apps:
        apps.load(config)
        _tell_of_threads()


def _tell_of_threads() -> None:
    """A thread stays behind in the process that started it: few apps mean that."""
    for each in threading.enumerate():
        if each is not threading.main_thread() and not each.name.startswith("ipcmules-"):
            log.event(
                "warning",
                f"thread {each.name!r} was started while the app was loaded: it runs in the template, beside "
                "what other processes of the app run, and in none of the mules that are forked from it. "
                "Start it in a @postfork function, in the program of a mule, or where ipcmules.role() says "
                "that it should run",
            )


def _fork_all(link: _Link, wanted: list[tuple[str, int]], master: int) -> None:
    """Fork them all from one process in between, which ends: so they become the master's children."""
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    try:
        between = unpatched.fork()
    except OSError as error:
        for role, number in wanted:
            link.send({"refused": [role, number, _reason(error)]})
        return
    if between:
        _pid, status = os.waitpid(between, 0)
        if status:
            # Nobody here knows how far it came: the master asks the next template for what was not reported.
            log.event(
                "error", "the process in between, which forks the mules, was killed: the template ends too"
            )
            os._exit(1)
        return
    # The template may be killed because this process is stopped: then nobody would know of it.
    linux.die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    me = os.getpid()
    for role, number in wanted:
        _fork(link, forked.Order(role, number, master, forker=me))
    os._exit(0)


def _fork(link: _Link, order: forked.Order) -> None:
    """Fork one process and report it. It lives only if the report was accepted: else another is forked."""
    reader = writer = -1
    try:
        reader, writer = os.pipe()
        pid = unpatched.fork()
    except OSError as error:
        link.send({"refused": [order.role, order.number, _reason(error)]})
        if reader < 0:
            return
    else:
        if pid == 0:
            link.close()
            os.close(writer)
            forked.live(order, reader)
        link.tell_forked(order, pid)
        try:
            os.write(writer, b"\0")
        except BrokenPipeError:
            pass  # it was killed: the master hears of both
    os.close(reader)
    os.close(writer)


def _reason(error: OSError) -> str:
    return f"{error.strerror}; {exhaustion.remedy(error)}"


class _Link:
    """This end of the socket to the master: JSON, one object a line."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = b""

    def send(self, message: dict[str, Any]) -> None:
        self._write(json.dumps(message).encode() + b"\n")

    def tell_forked(self, order: forked.Order, pid: int) -> None:
        """As send(), of {"forked": [role, number, pid]}, without json.

        Between two forks: a page that this process writes to then is one more that the child alone has.
        """
        self._write(b'{"forked": ["%s", %d, %d]}\n' % (order.role.encode(), order.number, pid))

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except ConnectionError:
            os._exit(1)  # no master any more, or it has seen the template's end

    def receive(self) -> dict[str, Any] | None:
        """The next message, None at the end of file."""
        while b"\n" not in self._buffer:
            try:
                data = os.read(self._descriptor, 65536)
            except ConnectionError:
                return None
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def close(self) -> None:
        os.close(self._descriptor)
