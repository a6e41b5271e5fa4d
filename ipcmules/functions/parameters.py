"""Whether a function can be called with arguments, seen where the call is made and not where it runs.

Knows the standard library alone. What a plain function takes is read off its code, in a fraction of the time
that inspect needs; inspect is asked about all others, and for the words of an error.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

#: inspect.CO_VARARGS, CO_VARKEYWORDS.
_VARARGS, _VARKEYWORDS = 0x04, 0x08


class _Shape(NamedTuple):
    """Which keywords may, and must, follow so many arguments without."""

    allowed: frozenset[str]
    required: frozenset[str]


class Parameters:
    """Those of one function, as a call of it sees them: of a wrapper its own, not the wrapped function's."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self._function = function
        self._name = name
        self._shapes = _shapes(function)

    def check(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raise TypeError, which names the function and what is missing, where it cannot be called so."""
        if len(args) < len(self._shapes):
            shape, given = self._shapes[len(args)], kwargs.keys()
            if shape.required <= given <= shape.allowed:
                return
        self._bind(args, kwargs)

    def keywords(self, names: Collection[str]) -> list[str]:
        """Those of these names that the function declares as parameters which may be given by keyword."""
        import inspect

        signature = self._signature()
        if signature is None:
            return []
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        return [name for name, each in signature.parameters.items() if each.kind in kinds and name in names]

    def by_name(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call by the names of parameters, with defaults; those of **kwargs by their own.

        Raises TypeError for arguments that the function does not take.
        """
        signature = self._signature()
        if signature is None:
            return dict(kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        found = dict(bound.arguments)
        for name, each in signature.parameters.items():
            if each.kind is each.VAR_KEYWORD:
                found |= found.pop(name)
        return found

    def takes(self, name: str) -> bool:
        """True if there may be an argument of that name."""
        signature = self._signature()
        if signature is None or name in signature.parameters:
            return True
        return any(each.kind is each.VAR_KEYWORD for each in signature.parameters.values())

    def _bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        signature = self._signature()
        if signature is None:
            return
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(
                f"{self._name}() cannot be called so: {error}; it is {self._name}{signature}"
            ) from None

    def _signature(self) -> Any:
        """None where Python does not tell, as for some functions in C."""
        import inspect

        try:
            return inspect.signature(self._function, follow_wrapped=False)
        except (TypeError, ValueError):
            return None


def _shapes(function: Callable[..., Any]) -> list[_Shape]:
    """By the number of arguments without keywords what may follow; none where inspect is to be asked."""
    code = getattr(function, "__code__", None)
    if code is None or hasattr(function, "__self__") or hasattr(function, "__signature__"):
        return []
    if code.co_flags & (_VARARGS | _VARKEYWORDS):
        return []
    count, names = code.co_argcount, code.co_varnames
    optional = count - len(getattr(function, "__defaults__", None) or ())
    only = frozenset(names[count : count + code.co_kwonlyargcount])
    needed = only - set(getattr(function, "__kwdefaults__", None) or ())
    return [
        _Shape(
            only | set(names[max(given, code.co_posonlyargcount) : count]),
            needed | set(names[given:optional]),
        )
        for given in range(count + 1)
    ]
