"""The pytest plugin: the fixture ipcmules_inline.

A module of its own, because pytest imports it at every start, in every project of the environment: nothing
of ipcmules is imported before a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ipcmules.testing import Inline


@pytest.fixture
def ipcmules_inline() -> Iterator[Inline]:
    """Messages, signals and tasks run in the test's process, at once; see ipcmules.testing.inline()."""
    from ipcmules import testing

    with testing.inline() as ran:
        yield ran
