"""A pickle as text, without loading it: plain values are shown as they are, anything else by its name.

No unpickler is used, not even one that allows no globals: a few bytes can have it take gigabytes (an index
of its memo) or hash for hours (a tuple of the same tuples, 60 deep). Here a stream becomes a tree of texts,
and the tree is written until there is enough. Knows pickletools, which only reads.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ipcmules.kernel.printable import for_people

#: How much of a text or of bytes is shown, and how deep in one another things are.
_LONGEST, _DEEPEST = 500, 20
#: A whole number of more bits is only described: Python refuses to print very large ones.
_MOST_BITS = 4000

_CONSTANTS = {"NONE": "None", "NEWTRUE": "True", "NEWFALSE": "False"}
_LITERALS = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING"),
        *("BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    )
)
_PUTS = frozenset(("PUT", "BINPUT", "LONG_BINPUT"))
_GETS = frozenset(("GET", "BINGET", "LONG_BINGET"))
_IGNORED = frozenset(("PROTO", "FRAME", "READONLY_BUFFER"))
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_EMPTY = {"EMPTY_LIST": "[]", "EMPTY_DICT": "{}", "EMPTY_SET": "set"}
#: What is made of everything since the mark.
_MARKED = {"TUPLE": "()", "LIST": "[]", "DICT": "{}", "FROZENSET": "frozenset"}


@dataclass
class _Group:
    """A tuple, list, dict (keys and values in turn), set or frozenset."""

    kind: str
    items: list[Any] = field(default_factory=list)


@dataclass
class _Made:
    """What an import, a call or a state would make."""

    name: str
    arguments: Any = None
    state: Any = None


def describe(data: bytes, longest: int = 2000) -> str:
    """What a pickle holds, for people, in at most about so many characters; never raises.

    What is no plain value is shown as <module.name(...), not loaded>.
    """
    try:
        tree = _read(data)
    except Exception as error:  # whatever pickletools raises, and what is missing on the stack
        why = for_people(str(error)) or "it is no pickle"
        return f"(a pickle of {len(data)} bytes that cannot be read: {why})"
    text = ""
    for piece in _written(tree, 0):
        text += piece
        if len(text) > longest:
            return f"{text[:longest]}... (a pickle of {len(data)} bytes)"
    return text


def _read(data: bytes) -> Any:
    """The tree of a stream."""
    machine = _Machine()
    for opcode, argument, _position in pickletools.genops(data):
        if opcode.name == "STOP":
            return machine.stack.pop()
        machine.do(opcode.name, argument)
    raise ValueError("it does not end")


class _Machine:
    """The unpickler's stack, with texts on it."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def do(self, name: str, argument: Any) -> None:
        """One opcode. Raises IndexError, KeyError, ValueError where a stream makes no sense."""
        stack = self.stack
        if name in _LITERALS:
            stack.append(_literal(argument))
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name == "MEMOIZE" or name in _PUTS:
            self._memo[len(self._memo) if name == "MEMOIZE" else int(argument)] = stack[-1]
        elif name in _GETS:
            stack.append(self._memo[int(argument)])
        elif name == "MARK":
            self._below.append(stack)
            self.stack = []
        elif name in _TUPLES:
            stack.append(_Group("()", [stack.pop() for _ in range(_TUPLES[name])][::-1]))
        elif name in _EMPTY:
            stack.append(_Group(_EMPTY[name]))
        elif name in _MARKED:
            items = self._since_mark()
            self.stack.append(_Group(_MARKED[name], items))
        elif name not in _IGNORED:
            self._change(name, argument)

    def _change(self, name: str, argument: Any) -> None:
        """What changes something on the stack, or would import or call something."""
        if name in ("APPENDS", "SETITEMS", "ADDITEMS"):
            items = self._since_mark()
            self._group().items += items
        elif name in ("APPEND", "SETITEM"):
            items = [self.stack.pop() for _ in range(1 if name == "APPEND" else 2)][::-1]
            self._group().items += items
        elif name == "POP":
            if self.stack:
                self.stack.pop()
            else:
                self._since_mark()
        elif name == "POP_MARK":
            self._since_mark()
        elif name == "DUP":
            self.stack.append(self.stack[-1])
        else:
            self._make(name, argument)

    def _make(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name == "GLOBAL":
            stack.append(_Made(str(argument).replace(" ", ".")))
        elif name == "STACK_GLOBAL":
            attribute, module = _bare(stack.pop()), _bare(stack.pop())
            stack.append(_Made(f"{module}.{attribute}"))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments = stack.pop()
            stack.append(_Made(_called(stack.pop()), arguments))
        elif name == "NEWOBJ_EX":
            keywords, arguments = stack.pop(), stack.pop()
            stack.append(_Made(_called(stack.pop()), _Group("()", [arguments, keywords])))
        elif name in ("INST", "OBJ"):
            items = self._since_mark()
            called = str(argument).replace(" ", ".") if name == "INST" else _called(items.pop(0))
            self.stack.append(_Made(called, _Group("()", items)))
        elif name == "BUILD":
            state = stack.pop()
            stack.append(_Made(_called(stack[-1]), getattr(stack.pop(), "arguments", None), state))
        else:  # persistent IDs, buffers, extension codes: they mean what the application says
            stack.append(_Made(f"{name.lower()} {argument!r:.100}"))

    def _group(self) -> _Group:
        found = self.stack[-1]
        if isinstance(found, _Made):  # a list's or dict's subclass, filled
            filled = found.state if isinstance(found.state, _Group) else _Group("[]")
            found.state = filled
            return filled
        if not isinstance(found, _Group):
            raise ValueError("it fills what is no list")
        return found

    def _since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self._below.pop()
        return items


def _literal(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return f"(a whole number of {value.bit_length()} bits)"
    if isinstance(value, (str, bytes, bytearray)) and len(value) > _LONGEST:
        return f"{value[:_LONGEST]!r}... ({len(value)} in all)"
    return repr(value)


def _bare(text: Any) -> str:
    """The name that a text on the stack is."""
    return str(text)[1:-1] if isinstance(text, str) else "?"


def _called(found: Any) -> str:
    return found.name if isinstance(found, _Made) else "?"


def _written(node: Any, depth: int) -> Iterator[str]:
    """A tree as text, in pieces: whoever asks stops where it is enough, for it may be without end."""
    if isinstance(node, str):
        yield for_people(node)
    elif depth > _DEEPEST:
        yield "..."
    elif isinstance(node, _Made):
        yield f"<{for_people(node.name)}"
        if node.arguments is not None:
            yield from _written(node.arguments, depth + 1)
        yield ", not loaded"
        if node.state is not None:
            yield ", with "
            yield from _written(node.state, depth + 1)
        yield ">"
    else:
        yield from _group_written(node, depth)


def _group_written(node: _Group, depth: int) -> Iterator[str]:
    opening, closing = {"set": ("{", "}"), "frozenset": ("frozenset({", "})")}.get(
        node.kind, tuple(node.kind)
    )
    if node.kind == "set" and not node.items:
        opening, closing = "set(", ")"
    yield opening
    for number, each in enumerate(node.items):
        if number:
            yield ": " if node.kind == "{}" and number % 2 else ", "
        yield from _written(each, depth + 1)
    if node.kind == "()" and len(node.items) == 1:
        yield ","
    yield closing
