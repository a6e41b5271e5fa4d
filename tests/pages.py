"""The documents as data: their blocks of code; and how the commands of a page are run.

A page that is run has

- files: blocks whose first line is a comment with the file's name (`# app.py`);
- commands: blocks in `sh`. One whose title begins with "Terminal 1" starts a program that stays until the
  next such block, or the page's end;
- what they print: blocks in `text`, below the commands. Their lines come in that order, others may stand
  between them, and `...` is any text in a line. With the title "Terminal 1" it is what the program that
  stays has printed, in any order.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from support import wait_until

CHECKOUT = Path(__file__).resolve().parent.parent
DOCS = CHECKOUT / "docs"

#: Commands that need what a test has not: another machine's rights, an engine of containers, a network.
NOT_RUN = ("pip", "docker", "kubectl", "sudo", "systemctl", "journalctl", "logrotate")
#: Seconds for a command, and for what is to be printed: a machine may have much else to do.
PATIENCE = 90
#: The port of the pages' web servers. Each test gets one of its own.
PORT = re.compile(r"(127\.0\.0\.1:|--port )8000\b")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    title: str
    text: str
    line: int

    @property
    def file(self) -> str:
        """The name of the file that this block is, '' if it is none."""
        found = re.match(r"# ([\w./-]+\.[a-z]+)\n", self.text)
        return found[1] if found else ""

    @property
    def stays(self) -> bool:
        return self.title.startswith("Terminal 1")

    @property
    def commands(self) -> list[str]:
        """The command lines, those that are continued put together."""
        whole = self.text.replace("\\\n", " ").splitlines()
        return [each for each in whole if each.strip() and not each.startswith("#")]


def pages() -> list[Path]:
    """The pages of the site."""
    return sorted(DOCS.rglob("*.md"))


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w*)([^\n`]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [
        Block(
            each[1],
            (re.findall(r'title="([^"]*)"', each[2]) or [""])[0],
            each[3],
            text.count("\n", 0, each.start()) + 1,
        )
        for each in found
    ]


def is_run(page: Path) -> bool:
    """Whether a page has commands that the tests run."""
    return any(each.language == "sh" and _runs(each) for each in blocks(page))


def _runs(block: Block) -> bool:
    skipped = [each.split()[0] in NOT_RUN for each in block.commands]
    assert all(skipped) or not any(skipped), f"line {block.line}: half of these commands can be run"
    return not all(skipped)


class Run:
    """A page that is run, in a directory of its own."""

    def __init__(self, page: Path, directory: Path) -> None:
        self.page = page
        self.directory = directory
        self.output = ""
        self._staying: subprocess.Popen[bytes] | None = None
        self._log = directory.parent / "terminal-1.log"
        programs = directory.parent / "bin"
        programs.mkdir(exist_ok=True)
        shim = programs / "ipcmules"
        shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m ipcmules "$@"\n')
        shim.chmod(0o755)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        path = [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
        self._environment = {**os.environ, "PATH": os.pathsep.join(path)}

    def page_through(self) -> None:
        """Do what the page says, from the first block to the last."""
        try:
            for block in blocks(self.page):
                try:
                    self._do(block)
                except (AssertionError, subprocess.TimeoutExpired) as error:
                    raise AssertionError(
                        f"{self.page.name}:{block.line}: {error}\n--- commands\n{self.output}\n"
                        f"--- terminal 1\n{self._printed()}"
                    ) from None
            self._end()
        finally:
            self._end_at_any_rate()

    def _do(self, block: Block) -> None:
        if block.language == "sh" and _runs(block):
            if block.stays:
                self._stay(block)
            else:
                self._command(block)
        elif block.language == "text":
            self._expect(block)
        elif block.file:
            path = self.directory / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._ported(block.text), encoding="utf-8")

    def _command(self, block: Block) -> None:
        done = subprocess.run(
            ["bash", "-ec", self._ported(block.text)],
            cwd=self.directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.output = done.stdout
        assert done.returncode == 0, f"ended with {done.returncode}"

    def _stay(self, block: Block) -> None:
        self._end()
        (command,) = block.commands
        with self._log.open("wb") as log:
            self._staying = subprocess.Popen(
                ["bash", "-c", "exec " + self._ported(command)],
                cwd=self.directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if command.startswith("ipcmules run"):
            wait_until(lambda: "ready: " in self._printed() or self._ended(), PATIENCE, "the ready line")
        if PORT.search(command):
            wait_until(lambda: self._listening() or self._ended(), PATIENCE, "the web server")

    def _expect(self, block: Block) -> None:
        lines = [re.escape(each.rstrip()).replace(r"\.\.\.", ".*") for each in block.text.splitlines()]
        if block.stays:
            for line in lines:
                wanted = re.compile(rf"^{line}[ ]*$", re.MULTILINE)
                wait_until(lambda: wanted.search(self._printed()) or self._ended(), PATIENCE, f"{line!r}")  # noqa: B023
                assert wanted.search(self._printed()), f"{line!r} was not printed"
            return
        whole = r"[ ]*\n(?:.*\n)*?".join(lines) + r"[ ]*$"
        assert re.search(rf"^{whole}", self.output, re.MULTILINE), f"{block.text!r} was not printed"

    def _printed(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def _listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def _ported(self, text: str) -> str:
        return PORT.sub(rf"\g<1>{self._port}", text)

    def _ended(self) -> bool:
        return self._staying is None or self._staying.poll() is not None

    def _end(self) -> None:
        if self._staying is None:
            return
        if self._staying.poll() is None:
            self._staying.send_signal(signal.SIGTERM)
        code = self._staying.wait(PATIENCE)
        # A program without a handler for SIGTERM dies of it; its bus ends with it.
        assert code in (0, -signal.SIGTERM), f"the program in terminal 1 ended with {code}"
        self._staying = None

    def _end_at_any_rate(self) -> None:
        """After a failure: a bus that is stopped leaves nothing."""
        if self._staying is None:
            return
        self._staying.terminate()
        try:
            self._staying.wait(20)
        except subprocess.TimeoutExpired:
            self._staying.kill()
            self._staying.wait()


def has_curl() -> bool:
    return shutil.which("curl") is not None
