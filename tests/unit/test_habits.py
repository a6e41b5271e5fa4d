"""CONTRIBUTING.md and the hooks at a commit name what there is."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
TEXT = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MAKEFILE = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
HOOKS = (CHECKOUT / ".pre-commit-config.yaml").read_text(encoding="utf-8")


def test_every_target_and_file_that_is_named_is_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    named = set(re.findall(r"(?:`|^ {4})make ([a-z]+)", TEXT, re.MULTILINE))
    assert named and named <= targets
    paths = {
        each for each in re.findall(r"`([\w./-]+/[\w.-]+|[\w-]+\.(?:md|toml|py))`", TEXT) if "*" not in each
    }
    missing = {
        each for each in paths if not any((CHECKOUT / top / each).exists() for top in ("", "ipcmules"))
    }
    assert not missing


def test_the_hooks_are_local_and_those_of_make_lint() -> None:
    assert set(re.findall(r"repo: (\S+)", HOOKS)) == {"local"}
    assert set(re.findall(r"language: (\S+)", HOOKS)) == {"system"}
    tools = re.search(r"^lint:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert tools
    wanted = re.findall(r"\$\(BIN\)/([\w-]+(?: check| format)?)", tools[1])
    assert re.findall(r"entry: \.venv/bin/([\w-]+(?: check| format)?)", HOOKS) == wanted
