"""The decorated functions of this process, and which of them a task means.

A task carries two names: the bare one, the function's `__name__`, by which uWSGI knows it too, and the whole
one: what name= gave, else module and qualified name. Two functions may share a bare name, so a task that
carries a whole one is run by that function alone; a task without (uWSGI's, or an older version's) by the only
one of its bare name. What is not certain runs nothing. Knows names; calls nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, TypeVar

_MAIN = "__main__"
#: multiprocessing's name of the main module in a child of another start method than fork.
_MAINS = (_MAIN, "__mp_main__")


class Named(Protocol):
    """What is registered."""

    @property
    def name(self) -> str:
        """Its bare name."""

    @property
    def whole(self) -> str:
        """Its whole name."""


Function = TypeVar("Function", bound=Named)


class Known(Generic[Function]):
    """Functions by both names."""

    def __init__(self) -> None:
        #: By the whole name as a task's dict has it, for who needs no other: a spooler asks for each task.
        self.by_packed: dict[bytes | None, Function] = {}
        self._by_whole: dict[str, Function] = {}
        self._by_bare: dict[str, dict[str, Function]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_whole)

    def __iter__(self) -> Iterator[Function]:
        return iter(self._by_whole.values())

    def add(self, function: Function) -> Function | None:
        """Returns the one whose place it takes: the same function defined again, as a rule."""
        before = self._by_whole.get(function.whole)
        self._by_whole[function.whole] = self.by_packed[function.whole.encode()] = function
        self._by_bare.setdefault(function.name, {})[function.whole] = function
        return before

    def find(self, bare: str, whole: str | None) -> Function | None:
        """The one that a task with these names means, None if that is none or not certain."""
        if whole is not None and (found := self._by_whole.get(whole)) is not None:
            return found
        candidates = self._candidates(bare, whole)
        return candidates[0] if len(candidates) == 1 else None

    def has_bare(self, bare: str) -> bool:
        """True if a function has that `__name__`."""
        return bare in self._by_bare

    def why_not(self, bare: str, whole: str | None) -> str:
        """Why find() finds nothing, for people."""
        here = sorted(self._by_bare.get(bare, ()))
        if not here:
            return f"no function {whole or bare!r} here"
        listed = ", ".join(here)
        if whole is None:
            return (
                f"it is for a function {bare!r}, and there are several here ({listed}): rename all but the "
                "one that it is for"
            )
        return (
            f"it is for {whole!r}, and that name is here the one of {listed}: where that is the same "
            f"function, say so with @spool(name={whole!r})"
        )

    def _candidates(self, bare: str, whole: str | None) -> list[Function]:
        found = list(self._by_bare.get(bare, {}).values())
        if whole is None:
            return found
        return [each for each in found if _may_be(whole, each.whole)]


def _may_be(one: str, other: str) -> bool:
    """True for two names of one function: a file that is loaded by its path has a shorter module name than
    the same one in its package, and what a main module without a file is called nobody knows."""
    one, other = one.removeprefix(f"{_MAIN}."), other.removeprefix(f"{_MAIN}.")
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def whole_name(function: Callable[..., Any], name: str) -> str:
    """Module and qualified name of a function. name: what stands for the latter where it has none."""
    module = str(getattr(function, "__module__", None) or _MAIN)
    if module in _MAINS:
        module = _main_name(module)
    qualified = getattr(function, "__qualname__", None)
    if getattr(function, "__name__", None) != name or not isinstance(qualified, str):
        qualified = name
    return f"{module}.{qualified}"


def _main_name(module: str) -> str:
    """What the main module is called where it is imported: `python -m a.b` is a.b, `python b.py` is b."""
    main = sys.modules.get(module)
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    path = getattr(main, "__file__", None)
    return os.path.splitext(os.path.basename(path))[0] if path else _MAIN
