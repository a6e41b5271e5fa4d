"""Django's own tests of cache backends, over ipcmules.django.Cache: those of its BaseCacheTests.

`make interop` downloads Django's source distribution, which has them; elsewhere $DJANGO_TESTS may name its
directory `tests`, else this is skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("django_cache_program.py")


def test_django_tests_our_cache(tmp_path: Path) -> None:
    tests = os.environ.get("DJANGO_TESTS") or os.path.join(sys.prefix, "django", "tests")
    if not os.path.isdir(tests):
        pytest.skip("there are no tests of Django's: `make interop` downloads them")
    done = subprocess.run(
        [sys.executable, str(PROGRAM), tests, str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert int(done.stdout.rpartition("RAN ")[2]) > 45
