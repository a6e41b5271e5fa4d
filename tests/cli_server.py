"""A process that has the command line loaded and forks for each command: a tenth of what a new Python costs.

Run as `python cli_server.py DESCRIPTOR`, of a stream socket. A request is one line of JSON, as ASK says, with
the descriptors of the command's standard streams; the answers are a line with the pid, then one with the exit
code. What is run is what `python -m ipcmules` runs, in a process of its own that ends as Python ends.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import socket
import sys
import time
from typing import Any, NoReturn, TypedDict

#: A request is one packet of at most so many bytes.
LONGEST = 1 << 17


class Ask(TypedDict):
    """arguments: after `ipcmules`; directory: where it runs; environment: all of it."""

    arguments: list[str]
    directory: str
    environment: dict[str, str]


def _load() -> None:
    import ipcmules.cli

    for each in pkgutil.walk_packages(ipcmules.cli.__path__, "ipcmules.cli."):
        importlib.import_module(each.name)


def _become(ask: Ask, streams: list[int]) -> None:
    """In the child: what a new process would have been given."""
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(ask["directory"])
    os.environ.clear()
    os.environ.update(ask["environment"])
    time.tzset()
    import ipcmules.__main__

    sys.argv = [str(ipcmules.__main__.__file__), *ask["arguments"]]


def _serve(served: socket.socket) -> Ask | None:
    """Answer requests. Returns in each child with what it is to run, and in the server None at its end."""
    while True:
        data, streams, _flags, _address = socket.recv_fds(served, LONGEST, 3)
        if not data:
            return None
        ask: Ask = json.loads(data)
        pid = os.fork()
        if not pid:
            served.close()
            _become(ask, streams)
            return ask
        for each in streams:
            os.close(each)
        served.sendall(b"%d\n" % pid)
        _pid, status = os.waitpid(pid, 0)
        served.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def main() -> NoReturn:
    """Serve until the socket is closed."""
    _load()
    ask: Any = _serve(socket.socket(fileno=int(sys.argv[1])))
    if ask is not None:
        from ipcmules.cli.main import main as command

        command()
    sys.exit()


if __name__ == "__main__":
    # As in ipcmules/__main__.py: nothing of the current directory, or of this one, is imported.
    del sys.path[0]
    main()
