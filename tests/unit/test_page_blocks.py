"""What stands in the documents as code can be read: Python, TOML, ini, YAML, and the commands' options."""

from __future__ import annotations

import json
import re
import shlex
import sys
from configparser import ConfigParser
from pathlib import Path

import click
import yaml

from ipcmules.cli.main import _group
from pages import CHECKOUT, DOCS, Block, blocks

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGES = [CHECKOUT / "README.md", *sorted(DOCS.rglob("*.md"))]


def test_blocks_can_be_read() -> None:
    for page in PAGES:
        for block in blocks(page):
            try:
                read(block)
            except Exception as error:
                raise AssertionError(f"{page.relative_to(CHECKOUT)}:{block.line}: {error}") from error


def read(block: Block) -> None:
    if block.language == "python" and not block.text.startswith("Bus("):
        compile(block.text, "the block", "exec")
    if block.language == "toml":
        assert tomllib.loads(block.text)
    if block.language == "yaml":
        assert list(yaml.safe_load_all(block.text))
    if block.language == "ini":
        reader = ConfigParser(strict=False, allow_no_value=True, interpolation=None)
        reader.read_string(block.text)
        assert reader.sections()


def commands(page: Path) -> list[list[str]]:
    """The commands `ipcmules ...`: lines of their own, those in a sentence, of units, of images."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    before = r"(?:    )?(?:[A-Z_]+=\S+ )*(?:Exec\w+=)?(?:/\S+/)?"
    lines = re.findall(rf"^{before}ipcmules ([a-z]+ .*)$", text, re.MULTILINE)
    lines += re.findall(r"`ipcmules ([a-z]+ [^`\n]*)`", text)
    arrays = re.findall(r'^CMD (\["ipcmules".*\])$', text, re.MULTILINE)
    # What a shell does with it, and what a listing explains behind two spaces, is not the command's.
    whole = [re.split(r" \|| [>&]|  |;", each)[0] for each in lines]
    return [*(_words(each) for each in whole), *(json.loads(each)[1:] for each in arrays)]


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # a quotation that goes on in the next line
        return line.split()


def test_commands_have_the_options_that_there_are() -> None:
    for page in PAGES:
        for words in commands(page):
            assert not unknown_options(words), f"{page.relative_to(CHECKOUT)}: {words}"


def unknown_options(words: list[str]) -> set[str]:
    group: click.Command = _group
    context = click.Context(_group)
    rest = words
    while isinstance(group, click.Group) and rest and rest[0] in group.list_commands(context):
        found = group.get_command(context, rest[0])
        assert found is not None
        group, rest = found, rest[1:]
    if isinstance(group, click.Group):
        return set()  # a sentence that begins with the name
    known = {each for parameter in group.params for each in (*parameter.opts, *parameter.secondary_opts)}
    options = rest[: rest.index("--")] if "--" in rest else rest
    given = {each.split("=")[0] for each in options if re.match(r"--?[A-Za-z]", each)}
    return given - known - {"-h", "--help", "-"}
