"""The links of all documents lead somewhere, for those who read them as files and those who read the site."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from pathlib import Path

from pages import CHECKOUT, DOCS

DOCUMENTS = [
    *CHECKOUT.glob("*.md"),
    *DOCS.rglob("*.md"),
    *(CHECKOUT / "examples").rglob("*.md"),
    *(CHECKOUT / "benchmarks").rglob("*.md"),
]


def without_code(text: str) -> str:
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "`code`", text)


@cache
def anchors(page: Path) -> dict[str, set[str]]:
    """The anchors of the headings, as hosts of repositories make them, and as the site does."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    hosted: set[str] = set()
    built: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip()
        plain = unicodedata.normalize("NFKD", words).lower()
        hosted.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
        built.add(re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip()))
    return {"hosted": hosted, "built": built}


def test_links_lead_somewhere() -> None:
    wrong = [f"{page.relative_to(CHECKOUT)}: {each}" for page in DOCUMENTS for each in wrong_links(page)]
    assert not wrong


def wrong_links(page: Path) -> list[str]:
    text = without_code(page.read_text(encoding="utf-8"))
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _sharp, anchor = link.partition("#")
        to = (page.parent / name).resolve() if name else page
        if not to.exists() or (page.is_relative_to(DOCS) and not to.is_relative_to(DOCS)):
            wrong.append(
                f"{link}: there is no such file"
                if not to.exists()
                else f"{link}: not on the site, so write the path as code"
            )
        elif anchor and not all(anchor in each for each in anchors(to).values()):
            wrong.append(f"{link}: no such heading")
    return wrong


def test_tables_have_as_many_cells_in_each_row() -> None:
    """A vertical bar that belongs to a cell is written `\\|`, in code `<code>a&#124;b</code>`."""
    wrong = [f"{page.relative_to(CHECKOUT)}: {each}" for page in DOCUMENTS for each in wrong_rows(page)]
    assert not wrong


def wrong_rows(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    wrong, cells = [], 0
    for line in text.splitlines():
        if not line.startswith("|"):
            cells = 0
            continue
        here = len(re.findall(r"(?<!\\)\|", line))
        if cells not in (0, here) or any("\\|" in each for each in re.findall(r"`[^`]*`", line)):
            wrong.append(line)
        cells = here
    return wrong


def test_the_navigation_names_pages_that_there_are() -> None:
    written = (CHECKOUT / "mkdocs.yml").read_text(encoding="utf-8")
    named = re.findall(r": ([\w/-]+\.md)$", written, re.MULTILINE)
    assert len(named) == len(set(named)) > 0
    assert set(named) <= {str(each.relative_to(DOCS)) for each in DOCS.rglob("*.md")}
