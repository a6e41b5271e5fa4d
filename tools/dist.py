"""`make dist`: build the sdist and the wheel of the last commit, twice, and check what came out.

python tools/dist.py [--here] [DIRECTORY]: they are put into DIRECTORY (dist), if all is well.

What is not committed is left out, and what other builds left in the checkout has no say. --here takes the
files as they are instead, those that git knows. The moment in the archives is SOURCE_DATE_EPOCH, else that of
the commit: so whoever has the commit can build the same bytes, with the same versions of Python, zlib and
setuptools.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    here = "--here" in arguments
    target = Path(next((each for each in arguments if not each.startswith("--")), "dist")).absolute()
    # The mode of a file in a wheel follows the umask.
    os.umask(0o022)
    os.environ.setdefault("SOURCE_DATE_EPOCH", git("log", "-1", "--format=%ct").strip())
    with tempfile.TemporaryDirectory() as work:
        # In directories of different names: no path may get into an archive.
        built = [build(Path(work, name), here) for name in ("one", "another")]
        if digests(built[0]) != digests(built[1]):
            raise SystemExit(f"two builds differ: {digests(built[0])}, {digests(built[1])}")
        check(built[0])
        target.mkdir(exist_ok=True)
        for name, digest in digests(built[0]).items():
            shutil.copy(built[0] / name, target / name)
            print(f"{digest}  {target / name}")
    return 0


def git(*words: str) -> str:
    """What git says in the checkout."""
    return subprocess.run(["git", *words], cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout


def build(directory: Path, here: bool) -> Path:
    """Build the sdist from the files, and the wheel from the sdist. Returns where they are."""
    source, out = directory / "source", directory / "dist"
    source.mkdir(parents=True)
    if here:
        for name in git("ls-files", "--cached", "--others", "--exclude-standard").splitlines():
            if (CHECKOUT / name).is_file():
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(CHECKOUT / name, source / name)
    else:
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=CHECKOUT, check=True, capture_output=True)
        subprocess.run(["tar", "-x"], cwd=source, input=archive.stdout, check=True)
    # Where setuptools is new enough, as the extra 'test' has it, nothing is downloaded.
    words = ["-m", "build", "--no-isolation", "--outdir", str(out)]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=source,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stdout)
    return out


def digests(directory: Path) -> dict[str, str]:
    """SHA-256 of each file."""
    found = sorted(directory.iterdir())
    return {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in found}


def check(directory: Path) -> None:
    """Let the checkers that are installed look at it: the extra 'dist' has both."""
    files = sorted(str(each) for each in directory.iterdir())
    wheels = [each for each in files if each.endswith(".whl")]
    for module, words in (("twine", ["check", "--strict", *files]), ("check_wheel_contents", wheels)):
        if importlib.util.find_spec(module) is None:
            print(f"{module} is not installed: left out")
        elif subprocess.run([sys.executable, "-m", module, *words], cwd=CHECKOUT, check=False).returncode:
            raise SystemExit(f"{module} complains")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
