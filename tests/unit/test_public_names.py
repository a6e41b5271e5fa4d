"""The names of the package: one table, and the imports that type checkers read."""

from __future__ import annotations

import ast
import inspect
import sys

import pytest

import ipcmules


def imports() -> dict[str, set[str]]:
    """The public names that ipcmules/__init__.py imports, now or for type checkers, by module."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(inspect.getsource(ipcmules))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ipcmules."):
            assert all(each.asname == each.name for each in node.names), (
                f"{node.module}: write 'name as name'"
            )
            found.setdefault(str(node.module), set()).update(each.name for each in node.names)
    return found


def test_the_table_and_the_imports_have_the_same_names() -> None:
    assert imports() == {module: set(names) for module, names in ipcmules._PUBLIC.items()}
    assert len(ipcmules.__all__) == len(set(ipcmules.__all__))


def test_each_is_what_its_module_has() -> None:
    for module, names in ipcmules._PUBLIC.items():
        for name in names:
            assert getattr(ipcmules, name) is getattr(sys.modules[module], name)
            assert name in dir(ipcmules)
    with pytest.raises(AttributeError, match="has no attribute 'mule_mgs'"):
        getattr(ipcmules, "mule_mgs")  # noqa: B009 # a type checker knows that it is not there


def test_a_call_that_is_used_as_a_decorator_of_its_name() -> None:
    with pytest.raises(ipcmules.SpoolError, match=r"the decorator is ipcmules\.decorators\.spool"):
        ipcmules.spool(print)  # type: ignore[arg-type]
