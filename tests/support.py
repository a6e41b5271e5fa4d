"""What tests share: waiting for a condition, running commands, a launcher that never stays behind.

Import it as `from support import wait_until` (pytest puts this directory on sys.path).
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from commands import run_cli  # noqa: F401 # where tests look for it

Result = TypeVar("Result")

#: The line 'ipcmules run' prints on stderr when its bus is ready.
READY = re.compile(r"^ipcmules: bus \S+ ready: .*\(pid (\d+)\)$", re.MULTILINE)


def wait_until(
    condition: Callable[[], Result | None],
    seconds: float = 20,
    what: str = "the condition",
    every: float = 0.01,
) -> Result:
    """Call condition until it returns something true, and return that; AssertionError when time is up."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() >= deadline:
            raise AssertionError(f"{what} did not come true within {seconds} s (last: {result!r})")
        time.sleep(every)


class Launcher:
    """`ipcmules run` as a subprocess, its output in files; use it as a context manager.

        with Launcher("--bus", bus_name, "--mules", "2") as launcher:   # ready when the body starts
            ...
        assert launcher.code == 0                                       # stopped with SIGTERM

    Entering waits for the ready line (pass ready=False to go on at once), leaving stops the bus if it
    still runs; a launcher that does not end by itself is killed and fails the test.
    """

    def __init__(
        self,
        *arguments: str,
        command: Sequence[str] = (),
        ready: bool = True,
        timeout: float = 30,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.timeout = timeout
        self._wait_for_ready = ready
        after = ["--", *command] if command else []
        self.arguments = [sys.executable, "-m", "ipcmules", "run", *arguments, *after]
        where = Path(os.environ.get("IPCMULES_RUNTIME_DIR", tempfile.gettempdir())).parent
        self._directory = tempfile.TemporaryDirectory(prefix="launch-", dir=where)
        self._out = Path(self._directory.name, "stdout")
        self._err = Path(self._directory.name, "stderr")
        self._final: tuple[str, str] | None = None
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                self.arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=cwd, env=env
            )

    @property
    def pid(self) -> int:
        """The launcher's pid, which is the master's."""
        return self.process.pid

    @property
    def code(self) -> int | None:
        """Exit code, None while it runs; negative for a signal."""
        return self.process.poll()

    @property
    def stdout(self) -> str:
        """What came out on stdout so far."""
        return self._final[0] if self._final else self._out.read_text(errors="replace")

    @property
    def stderr(self) -> str:
        """What came out on stderr so far."""
        return self._final[1] if self._final else self._err.read_text(errors="replace")

    def wait_ready(self) -> None:
        """Wait for the ready line; AssertionError with all output if the launcher ends before."""

        def ready_or_over() -> bool:
            if READY.search(self.stderr):
                return True
            if self.process.poll() is not None and not READY.search(self.stderr):
                raise AssertionError(f"the launcher ended with {self.code} before it was ready")
            return False

        try:
            wait_until(ready_or_over, self.timeout, "the launcher's ready line")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output()}") from None

    def wait_output(self, text: str, seconds: float = 20) -> None:
        """Wait until text stands in stdout."""
        self.wait_for(lambda: text in self.stdout, f"{text!r} on stdout", seconds)

    def wait_log(self, text: str, seconds: float = 20) -> None:
        """Wait until text stands in stderr: what a line reports may be seen before the line is written."""
        self.wait_for(lambda: text in self.stderr, f"{text!r} on stderr", seconds)

    def wait_for(self, condition: Callable[[], object], what: str, seconds: float = 20) -> None:
        """Wait until condition holds; AssertionError with all output when it does not."""
        try:
            wait_until(condition, seconds, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output()}") from None

    def wait(self, seconds: float | None = None) -> int:
        """Wait for the end and return the exit code."""
        return self.process.wait(self.timeout if seconds is None else seconds)

    def stop(self, signum: int = signal.SIGTERM, seconds: float | None = None) -> int:
        """Send a signal (if it still runs) and wait for the end; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return self.wait(seconds)

    def output(self) -> str:
        """Both streams, for a failure's text."""
        return f"--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"

    def __enter__(self) -> Launcher:
        if self._wait_for_ready:
            try:
                self.wait_ready()
            except BaseException:
                self._close(kill=True)
                raise
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        hung = False
        if self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                hung = True
        self._close(kill=hung)
        if hung and kind is None:
            raise AssertionError(f"the launcher did not stop within {self.timeout} s:\n{self.output()}")

    def _close(self, kill: bool) -> None:
        if kill and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._final = (self.stdout, self.stderr)
        self._directory.cleanup()
