"""Programs that meet a full file system, or a low limit: in a mount namespace of their own, or by
setrlimit(2).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest


def mounted(path: Path | str, options: str, *command: str) -> list[str]:
    """A command line that runs another one where `path` is a tmpfs of its own, e.g. with 'size=200k'.

    Skips the test where this user may not mount anything.
    """
    unshare = shutil.which("unshare")
    inside = f'mount -t tmpfs -o {options} tmpfs "$1" && shift && exec "$@"'
    if unshare is None:
        pytest.skip("needs unshare")
    before = [unshare, "-m", "sh", "-c", inside, "sh", str(path)]
    if subprocess.run([*before, "true"], check=False).returncode:
        pytest.skip("no permission to mount a tmpfs in a namespace of its own")
    return [*before, *command]


def run(command: list[str], seconds: float = 60, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its output as text."""
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, cwd=cwd)


def ipcmules(*arguments: str) -> list[str]:
    """The command line of `ipcmules ...`."""
    return [sys.executable, "-m", "ipcmules", *arguments]


def python(source: str, *arguments: str) -> list[str]:
    """The command line of a script given as text."""
    return [sys.executable, "-c", textwrap.dedent(source), *arguments]


def fill(directory: str = "/dev/shm") -> str:
    """Source that defines fill(), which leaves no room in a file system, and free(), which gives it back."""
    return textwrap.dedent(f"""
        import os
        def fill(leave=0):
            file = os.open("{directory}/filler", os.O_CREAT | os.O_WRONLY, 0o600)
            for size in (1 << 16, 4096, 1):
                try:
                    while True:
                        os.write(file, bytes(size))
                except OSError:
                    pass
            os.ftruncate(file, max(os.fstat(file).st_size - leave, 0))
            os.close(file)
        def free():
            os.unlink("{directory}/filler")
    """)
