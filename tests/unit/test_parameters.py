"""What fits a function's parameters: as Python itself would take it."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipcmules.functions.parameters import Parameters


def plain(a, b, c=1): ...  # type: ignore[no-untyped-def]
def only(a, /, b, *, c, d=1): ...  # type: ignore[no-untyped-def]
def anything(a, *args, **kwargs): ...  # type: ignore[no-untyped-def]
def nothing(): ...  # type: ignore[no-untyped-def]


class Callable:
    def __call__(self, a, b=1): ...  # type: ignore[no-untyped-def]


FUNCTIONS = [
    plain,
    only,
    anything,
    nothing,
    Callable(),
    Callable().__call__,
    functools.partial(plain, 1),
    dict.get,
]


@given(
    st.sampled_from(FUNCTIONS),
    st.lists(st.integers(), max_size=4),
    st.dictionaries(st.sampled_from("abcde"), st.integers(), max_size=4),
)
def test_as_python(function: Any, args: list[int], kwargs: dict[str, int]) -> None:
    try:
        inspect.signature(function).bind(*args, **kwargs)
        fits = True
    except TypeError:
        fits = False
    parameters = Parameters(function, "f")
    if fits:
        parameters.check(tuple(args), kwargs)
    else:
        with pytest.raises(TypeError, match=r"f\(\) cannot be called so: .*; it is f\("):
            parameters.check(tuple(args), kwargs)


def test_what_python_does_not_tell_is_taken() -> None:
    Parameters(print, "f").check((1, 2, 3), {"end": ""})
    Parameters(dict, "f").check((1, 2, 3), {})
