"""What is handed out: the sdist and the wheel, built from the files of this checkout as they are."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path
from types import ModuleType

import pytest

import ipcmules

CHECKOUT = Path(__file__).resolve().parents[2]
#: A moment for the archives.
EPOCH = 1700000000

pytestmark = pytest.mark.skipif(
    not (CHECKOUT / ".git").exists(), reason="which files belong to it is known in a checkout alone"
)


def tool() -> ModuleType:
    """tools/dist.py, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("dist_tool", CHECKOUT / "tools" / "dist.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names() -> set[str]:
    found = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {each for each in found.stdout.splitlines() if (CHECKOUT / each).is_file()}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_what_is_handed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(EPOCH))
    out: Path = tool().build(tmp_path / "one", here=True)
    version = ipcmules.__version__
    (archive,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    assert (archive.name, wheel.name) == (
        f"ipcmules-{version}.tar.gz",
        f"ipcmules-{version}-py3-none-any.whl",
    )

    ours = names() - {".gitignore"}
    with tarfile.open(archive) as packed:
        members = packed.getmembers()
    inside = {each.name.partition("/")[2] for each in members if each.isfile()}
    assert sorted(ours - inside) == [], "not in the sdist: add it to MANIFEST.in"
    made = {"PKG-INFO", "setup.cfg"}
    assert {each for each in inside - ours - made if not each.startswith("ipcmules.egg-info/")} == set()
    assert {(each.mtime, each.uid, each.gid, each.uname) for each in members} == {(EPOCH, 0, 0, "")}

    with zipfile.ZipFile(wheel) as packed_wheel:
        within = set(packed_wheel.namelist())
        metadata = packed_wheel.read(f"ipcmules-{version}.dist-info/METADATA").decode()
    package = {each for each in ours if each.startswith("ipcmules/")} | {"pytest_ipcmules.py"}
    assert package == {each for each in within if ".dist-info/" not in each}
    found = Parser().parsestr(metadata)
    assert found["License-Expression"] == "MIT" and found.get_all("License-File") == ["LICENSE"]
    assert found["Description-Content-Type"] == "text/markdown"
    assert not [each for each in found.get_all("Classifier") or () if each.startswith("License")]
    # An index has no files beside the text.
    assert not re.search(r"\]\((?!https?:|#)", found.get_payload())

    # Elsewhere, by another user's umask, later: the same bytes.
    again = tmp_path / "in another directory"
    shutil.copytree(tmp_path / "one" / "source", again)
    for each in again.rglob("*"):
        if each.is_file():
            each.chmod(0o700 if each.stat().st_mode & 0o100 else 0o600)
    subprocess.run(
        [sys.executable, "setup.py", "-q", "sdist"],
        cwd=again,
        check=True,
        capture_output=True,
        umask=0o077,
        env={**os.environ, "TZ": "Asia/Tokyo"},
    )
    assert sha256(again / "dist" / archive.name) == sha256(archive)


def test_the_changelog_has_this_version_first() -> None:
    headings = re.findall(r"^## (.+)$", (CHECKOUT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert re.fullmatch(rf"{re.escape(ipcmules.__version__)} \((unreleased|\d{{4}}-\d\d-\d\d)\)", headings[0])
    for each in headings[1:]:
        assert re.fullmatch(r"\d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\)", each), each
