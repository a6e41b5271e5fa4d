"""`from ipcmules import mule_msg, signal` stays cheap: counted in modules, for a time would be chance."""

from __future__ import annotations

import subprocess
import sys

#: Of ours and the one extension module they need: two more than in 0.1.0, as the layout of the table and the
#: imports of first calls are files of their own.
MOST = 25
#: Of the standard library's, what costs milliseconds; `typing` is there, and is half of the whole import.
HEAVY = {
    "asyncio",
    "dataclasses",
    "inspect",
    "json",
    "logging",
    "multiprocessing",
    "select",
    "subprocess",
    "tempfile",
}

CODE = """
import sys
before = set(sys.modules)
from ipcmules import mule_msg, signal
print(*sorted(set(sys.modules) - before))
"""


def test_the_common_import_brings_no_more_modules_than_it_did() -> None:
    # -S: an editable install's finder imports half of them before we can count.
    paths = repr([each for each in sys.path if each])
    found = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path += {paths}\n" + CODE],
        capture_output=True,
        text=True,
        check=True,
    )
    modules = set(found.stdout.split())
    ours = {each for each in modules if each.partition(".")[0] not in sys.stdlib_module_names}
    assert len(ours) <= MOST, sorted(ours)
    assert not modules & HEAVY
