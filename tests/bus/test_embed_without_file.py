"""Bus() in programs whose main module is no file that a mule could load: standard input, -c, zip files,
prompts."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROGRAM = """
import os
import ipcmules

OFFSET = 1

def helper(number):
    return number + OFFSET

def work():
    message = ipcmules.mule_get_msg()
    os.write(1, b"got %s %d\\n" % (message, helper(1)))

# here
if __name__ == "__main__":
    with ipcmules.Bus(mules=[work]) as bus:
        bus.mule_msg(b"hello", 1)

"""
REGISTERS = """
@ipcmules.decorators.signal(9, target="mule1")
def handler(number):
    pass

"""


@pytest.mark.parametrize(
    ("way", "registers"),
    [
        *(("-", False), ("stdin", True), ("-c", False), ("zip", True), ("directory", False)),
        *(("-m package", False), ("-i", False), ("file", True)),
    ],
)
def test_functions_of_any_program(bus_env: object, tmp_path: Path, way: str, registers: bool) -> None:
    program = PROGRAM.replace("# here\n", REGISTERS if registers else "")
    main = tmp_path / "package" / "__main__.py"
    main.parent.mkdir()
    for path in (main, tmp_path / "program.py"):
        path.write_text(program)
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.write(main, "__main__.py")
    arguments = {
        "-": ["-"], "stdin": [], "-c": ["-c", program], "zip": ["app.zip"], "directory": ["package"],
        "-m package": ["-m", "package"], "-i": ["-i"], "file": ["program.py"],
    }[way]  # fmt: skip
    given = program if way in ("-", "stdin", "-i") else ""
    done = subprocess.run(
        [sys.executable, *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0 and "got hello 2" in done.stdout, done
    assert ("cannot load this program's main module" in done.stderr) is (registers and way != "file"), (
        done.stderr
    )
    assert "Traceback" not in done.stderr, done.stderr
