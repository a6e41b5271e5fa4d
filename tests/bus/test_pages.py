"""The README and the pages whose commands can be run: as a reader would, from top to bottom."""

from __future__ import annotations

import pytest

from conftest import BusEnvironment
from pages import CHECKOUT, Run, has_curl, is_run, pages

pytestmark = pytest.mark.slow

RUN = [each for each in [CHECKOUT / "README.md", *pages()] if is_run(each)]


@pytest.mark.parametrize("name", [str(each.relative_to(CHECKOUT)) for each in RUN])
def test_a_page_does_what_it_says(bus_env: BusEnvironment, name: str) -> None:
    page = CHECKOUT / name
    if "curl " in page.read_text(encoding="utf-8") and not has_curl():
        pytest.skip("curl is not there")
    directory = bus_env.directory / "page"
    directory.mkdir()
    Run(page, directory).page_through()


def test_there_are_such_pages() -> None:
    assert len(RUN) > 15, "the blocks of commands are not found any more"
