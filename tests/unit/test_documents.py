"""The documents name what there is: every option, every argument of Bus, every public name, every layer."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
from pathlib import Path

import click

import ipcmules
from ipcmules.cli.options import OPTIONS
from ipcmules.cli.run import command

CHECKOUT = Path(__file__).resolve().parents[2]
REFERENCE = CHECKOUT / "docs" / "reference"


def words(page: str) -> set[str]:
    return set(re.findall(r"\w+", (REFERENCE / page).read_text(encoding="utf-8")))


def rows(page: str) -> list[str]:
    """The first cells of all tables of a page."""
    lines = (REFERENCE / page).read_text(encoding="utf-8").splitlines()
    return [each.split(" | ")[0] for each in lines if each.startswith("| ")]


def options_of_run() -> set[str]:
    return {name for each in command.params if isinstance(each, click.Option) for name in each.opts}


def options_in_tables() -> set[str]:
    return {name for row in rows("run.md") for name in re.findall(r"(?:`|<code>)(--?[A-Za-z][\w-]*)", row)}


def test_every_option_of_run_is_in_the_table_and_no_other() -> None:
    assert options_in_tables() == options_of_run()


def test_names_that_only_files_have_are_in_the_table() -> None:
    given = {name for row in rows("files.md") for name in re.findall(r"`([a-z][\w-]*)`", row)}
    # On the command line a single letter has a single hyphen; the name with a space is the [uwsgi] section's.
    only_files = {
        each for each in OPTIONS if not {f"--{each}", f"-{each}"} & options_of_run() and " " not in each
    }
    assert only_files <= given, only_files - given


def test_the_signature_of_bus_is_the_one_written_down() -> None:
    text = (REFERENCE / "bus.md").read_text(encoding="utf-8")
    written = re.search(r"```python\n(Bus\(.*?\))\n```", text, re.DOTALL)
    assert written
    definition = ast.parse(f"def {written[1]}: pass").body[0]
    assert isinstance(definition, ast.FunctionDef)
    names = [each.arg for each in (*definition.args.args, *definition.args.kwonlyargs)]
    values = [
        ast.literal_eval(each) if each is not None else None
        for each in (*definition.args.defaults, *definition.args.kw_defaults)
    ]
    real = inspect.signature(ipcmules.Bus).parameters
    assert list(zip(names, values, strict=True)) == [(each.name, each.default) for each in real.values()]


def test_every_argument_of_bus_is_in_its_docstring() -> None:
    described = set(re.findall(r"^([a-z_]+): ", inspect.getdoc(ipcmules.Bus.__init__) or "", re.MULTILINE))
    missing = set(inspect.signature(ipcmules.Bus).parameters) - described
    assert not missing


def test_every_public_name_is_in_the_index_and_each_error_on_its_page() -> None:
    names = set(ipcmules.__all__) - {"__version__"}
    errors = {
        each
        for each in names
        if isinstance(getattr(ipcmules, each), type) and issubclass(getattr(ipcmules, each), Exception)
    }
    assert names - errors - words("index.md") == set()
    assert errors - words("errors.md") == set()


def test_every_error_is_what_its_page_says_it_is_also() -> None:
    page = (REFERENCE / "errors.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| `(\w+)` \((\w+)\) \|", page, re.MULTILINE)
    assert found
    for name, base in found:
        assert issubclass(getattr(ipcmules, name), getattr(builtins, base)), name


def test_the_layers_are_those_of_the_contract() -> None:
    contract = re.search(
        r"^layers = (\[.*?^\])", (CHECKOUT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL
    )
    drawn = re.search(r"```\n(cli/.*?)```", (CHECKOUT / "docs" / "architecture.md").read_text(), re.DOTALL)
    assert contract and drawn
    layers = [set(each.split(" | ")) for each in ast.literal_eval(contract[1])]
    lines = [set(re.findall(r"\b(\w+)(?:/|\.py)(?= )", each[:39])) for each in drawn[1].splitlines()]
    assert lines == layers
