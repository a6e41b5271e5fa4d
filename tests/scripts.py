"""Programs that tests write down and run: an embedding program needs a main module and an end of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path


def write(directory: Path, name: str, source: str) -> Path:
    """Write a program, dedented."""
    path = directory / name
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    return path


def run(path: Path, *arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a program in its directory to its end, output captured."""
    return subprocess.run(
        [sys.executable, str(path), *arguments],
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=seconds,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def output(path: Path, *arguments: str, seconds: float = 60) -> str:
    """What a program writes to stdout; AssertionError with both streams unless it ends with 0."""
    done = run(path, *arguments, seconds=seconds)
    assert done.returncode == 0, f"ended with {done.returncode}\n{done.stdout}\n--- stderr\n{done.stderr}"
    return done.stdout
