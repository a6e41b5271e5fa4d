"""The page's JavaScript: modules that are all served, import what is there, and import nothing in vain."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from ipcmules.web.routes import FILES

STATIC = Path(str(resources.files("ipcmules.web").joinpath("static")))
MODULES = {each.name: each.read_text() for each in STATIC.glob("*.js")}
_IMPORT = re.compile(r'^import \{ ([^}]+) \} from "\./([a-z]+\.js)";$', re.M)
_EXPORT = re.compile(r"^export (?:async function|function|class|const) ([\w$]+)", re.M)


def test_all_of_it_is_served_and_short() -> None:
    assert {name for name, _kind in FILES.values()} == {each.name for each in STATIC.iterdir()}
    for name, text in MODULES.items():
        assert len(text.splitlines()) < 300 and text.startswith("/* "), name


def test_imports() -> None:
    for name, text in MODULES.items():
        found = _IMPORT.findall(text)
        assert len(found) == len(re.findall(r"^import\b", text, re.M)), f"{name}: another form of import"
        for names, module in found:
            assert module != name and set(names.split(", ")) <= set(_EXPORT.findall(MODULES[module])), (
                name,
                module,
            )
        body = re.sub(r'"[^"\n]*"', '""', _IMPORT.sub("", text))
        for each in (each for names, _module in found for each in names.split(", ")):
            assert re.search(rf"(?<![\w$.]){re.escape(each)}(?![\w$:])", body), (
                f"{name} imports {each} in vain"
            )


def test_no_module_imports_another_in_a_circle() -> None:
    below = {name: {module for _names, module in _IMPORT.findall(text)} for name, text in MODULES.items()}
    while leaves := {name for name, modules in below.items() if not modules}:
        below = {name: modules - leaves for name, modules in below.items() if name not in leaves}
    assert not below
