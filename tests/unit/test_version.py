"""The version stands in one place, which whoever builds the package reads without importing the package."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import ipcmules
from support import run_cli

CHECKOUT = Path(__file__).resolve().parents[2]


def version_file() -> str:
    """Path of the file with the version, relative to the checkout: setup.py names it."""
    found = re.search(r'^VERSION_FILE = "(.+)"$', (CHECKOUT / "setup.py").read_text(), re.MULTILINE)
    assert found
    return found[1]


def build(directory: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Ask a copy of setup.py, beside a file of that text, for the version; nothing else can be imported."""
    (directory / version_file()).parent.mkdir(parents=True)
    (directory / version_file()).write_text(text)
    shutil.copy(CHECKOUT / "setup.py", directory)
    return subprocess.run(
        [sys.executable, "setup.py", "--version"], cwd=directory, capture_output=True, text=True, check=False
    )


def test_the_version_stands_in_one_file() -> None:
    here = CHECKOUT / version_file()
    assert f'__version__ = "{ipcmules.__version__}"' in here.read_text()
    others = [CHECKOUT / "setup.py", CHECKOUT / "pyproject.toml", *CHECKOUT.glob("ipcmules/**/*.py")]
    quoted = f'"{ipcmules.__version__}"'
    assert [path for path in others if quoted in path.read_text() and path != here] == []
    assert run_cli("--version").stdout == f"ipcmules {ipcmules.__version__}\n"


def test_setup_reads_it_without_importing_the_package(tmp_path: Path) -> None:
    done = build(tmp_path, 'import nothing_of_this_name\n\n__version__ = "7.8.9"\n')
    assert done.stdout.splitlines()[-1:] == ["7.8.9"], done


def test_setup_says_where_it_looked(tmp_path: Path) -> None:
    done = build(tmp_path, "")
    assert done.returncode and "Traceback" not in done.stderr
    assert f"{version_file()} has no line __version__" in done.stderr
