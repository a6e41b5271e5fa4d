"""Running the examples of a page of docs/ as they stand there.

Import it as `from documented import Page` (pytest puts this directory on sys.path).
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from support import Launcher

DOCS = Path(__file__).resolve().parents[1] / "docs"


class Page:
    """A page, by its name in docs/. Its programs begin with a comment that is their file's name."""

    def __init__(self, name: str) -> None:
        self.text = (DOCS / name).read_text(encoding="utf-8")

    def program(self, name: str) -> str:
        """The program of that name."""
        (found,) = re.findall(rf"```python\n# {re.escape(name)}\n(.*?)```", self.text, re.DOTALL)
        return str(found)

    def write(self, directory: Path, *names: str) -> None:
        """Write programs into a directory."""
        for name in names:
            (directory / name).parent.mkdir(exist_ok=True)
            (directory / name).write_text(self.program(name))

    def run(self, directory: Path, bus: str, *names: str) -> Launcher:
        """Run the command `ipcmules run` that ends with the last of these programs, to its end."""
        self.write(directory, *names)
        lines = re.findall(r"^    (ipcmules run (?:.*\\\n)*.*)$", self.text, re.MULTILINE)
        module = names[-1].removesuffix(".py")
        (line,) = [each for each in lines if re.search(rf"-- .*\b{module}\b", each, re.DOTALL)]
        options, _dashes, command = line.replace("\\\n", " ").removeprefix("ipcmules run ").partition(" -- ")
        with Launcher(
            *("--bus", bus, *shlex.split(options)),
            command=[sys.executable, *shlex.split(command)[1:]],
            cwd=directory,
        ) as launcher:
            launcher.process.wait(60)
        assert launcher.code == 0, launcher.output()
        return launcher
