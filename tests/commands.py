"""Running `ipcmules COMMAND` to its end in the tests: run_cli(), and the process that forks for it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cli_server import LONGEST

#: Variables that a Python or the C library reads when it starts: a fork of a running one comes too late.
_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC")


def run_cli(
    *arguments: str,
    timeout: float = 60,
    text_input: str | None = None,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `python -m ipcmules ARGUMENTS...` to its end, output captured."""
    environment = dict(os.environ if env is None else env)
    server = _Server.of_this_process()
    if _at_start(environment) == server.at_start:
        return server.run(arguments, timeout, text_input or "", os.fspath(cwd or os.getcwd()), environment)
    return subprocess.run(
        _command(arguments),
        capture_output=True,
        text=True,
        timeout=timeout,
        input=text_input or "",
        cwd=cwd,
        env=env,
        check=False,
    )


def _command(arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "ipcmules", *arguments]


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_AT_START)}


class _Server:
    """The client's side of cli_server.py. It ends with this process: its socket is closed then."""

    _own: _Server | None = None

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.at_start = _at_start(os.environ)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            program = Path(__file__).with_name("cli_server.py")
            # It belongs to no bus, whichever test was the first.
            environment = {
                name: each for name, each in os.environ.items() if not name.startswith("IPCMULES_")
            }
            self._process = subprocess.Popen(
                [sys.executable, str(program), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )

    @classmethod
    def of_this_process(cls) -> _Server:
        if cls._own is None or cls._own.pid != os.getpid():
            cls._own = cls()
        return cls._own

    def run(
        self, arguments: tuple[str, ...], timeout: float, text: str, cwd: str, environment: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        request = json.dumps({"arguments": arguments, "directory": cwd, "environment": environment}).encode()
        assert len(request) < LONGEST
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            with tempfile.TemporaryFile() as given:
                given.write(text.encode())
                given.seek(0)
                streams = [each.fileno() for each in (given, out, err)]
                socket.send_fds(self._socket, [request], streams)
            pid = self._answer(timeout)
            try:
                code = self._answer(timeout)
            except TimeoutError:
                os.kill(pid, 9)
                self._answer(timeout)
                raise subprocess.TimeoutExpired(
                    _command(arguments), timeout, _text(out), _text(err)
                ) from None
            return subprocess.CompletedProcess(_command(arguments), code, _text(out), _text(err))

    def _answer(self, timeout: float) -> int:
        self._socket.settimeout(timeout)
        return int(self._socket.recv(64))


def _text(file: tempfile._TemporaryFileWrapper[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace").replace("\r\n", "\n")
