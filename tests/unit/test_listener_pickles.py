"""What of a task from a socket may be unpickled: whatever the C unpickler would import is refused.

The judges are the C unpickler itself and the one in Python (dill's), with a find_class() that notes the call
and imports nothing.
"""

from __future__ import annotations

import collections
import contextlib
import datetime
import io
import os
import pickle
import pickletools
import re
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ipcmules.listener import pickles


@pytest.fixture(scope="module", autouse=True)
def _little_memory() -> Iterator[None]:
    """Unpicklers believe a stream that says how large its memo or its bytes will be: that must fail, not
    swap."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (512 << 20), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


class _Lines(io.BytesIO):
    """The C unpickler takes no line that does not end; so here."""

    def readline(self, size: int | None = -1, /) -> bytes:
        return _whole(super().readline(size))


class _Buffered(io.BufferedReader):
    """The same, of which an unpickler can peek()."""

    def readline(self, size: int | None = -1, /) -> bytes:
        return _whole(super().readline(size))


def _whole(line: bytes) -> bytes:
    if not line.endswith(b"\n"):
        raise EOFError
    return line


#: The name of a module, or of something in one: what is before the first dot is imported first.
_MODULE = re.compile(r"[\w-]+(\..*)?|[\w.-]+")


def imports(data: bytes) -> list[tuple[str, str]]:
    """What unpicklers import for these bytes, whether they succeed or not."""
    imported: list[tuple[str, str]] = []
    for kind in (pickle.Unpickler, pickle._Unpickler):  # type: ignore[attr-defined] # has no other name

        class Judge(kind):  # type: ignore[misc, valid-type] # mypy knows no classes as values
            def find_class(self, module: str, name: str) -> object:
                if not _MODULE.fullmatch(module):
                    raise ImportError(module)  # no module has such a name: nothing has run
                imported.append((module, name))
                return lambda *arguments, **keywords: self

            def persistent_load(self, pid: object) -> object:
                return pid

        for file in (_Lines(data), _Buffered(io.BytesIO(data))):  # type: ignore[arg-type] # as raw as it needs
            with contextlib.suppress(Exception):
                Judge(file).load()
    return imported


class _Harm:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("true",)


class _Instance:
    pass


HARMFUL = [
    b"I0x10\n0cos\nsystem\n(S'true'\ntR.",
    b"L0x10L\n0cos\nsystem\n(S'true'\ntR.",
    b"I 1_0 \n0cos\nsystem\n(S'true'\ntR.",
    b"F1e5\n0cos\nsystem\n(S'true'\ntR.",
    b"Vos\nVsystem\n\x93S'true'\n\x85R.",
    b"\x80\x00Vos\nVsystem\n\x93S'true'\n\x85R.",
    b"\x80\x01\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
    b"\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
    b"cos\nsystem\n(S'true'\ntR.",
    b"(S'true'\nios\nsystem\n.",
    b"ios\nsystem\n.",
    b"(cos\nsystem\nS'true'\no.",
    b"cos\nsystem\n)\x81.",
    b"cos\nsystem\n)}\x92.",
    b"N0cos\nsystem\n(S'true'\ntR",
    b"cantigravity\nno such name\n",
    b"cantigravity.no such module\nname\n",
    *(pickle.dumps(_Harm(), each) for each in range(pickle.HIGHEST_PROTOCOL + 1)),
]


@pytest.mark.parametrize("data", HARMFUL)
@pytest.mark.parametrize("end", [b"", b"and more, which nobody reads"])
def test_what_imports_is_refused(data: bytes, end: bytes) -> None:
    assert imports(data + end)
    assert pickles.may_run(data + end)
    assert pickles.would_be_loaded({b"anything": data + end})


@pytest.mark.parametrize(
    "plain",
    [
        *(
            b"a plain value",
            b"",
            b"collected later\nin two lines\n.",
            b"\x80",
            "caf\u00e9.".encode(),
            b"c",
            b"cos",
        ),
        *(b"Important: it is late\nconfirm\nthis\n", b"can you come\nto the shop\n", b"See\ncats\ndogs\n"),
        *(
            b"12",
            b"-1.5",
            b"someone@example.org",
            b'{"json": [1, 2, {"a": null}]}\n',
            b"K\xc3\x93",
            b"basic\nx\n",
        ),
        *(
            b"2026-11-27T01:02:03\n",
            b"id=1\ncode=2\n",
            b"<p>Hello</p>\n<b>x</b>\n",
            b"/srv/app/file\n",
            b"\0\1\2\3",
        ),
    ],
)
def test_plain_values_are_not(plain: bytes) -> None:
    assert not imports(plain)
    assert not pickles.would_be_loaded({b"anything": plain})


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.binary(max_size=8) | st.sampled_from([_Harm(), _Instance(), os.system, 1j])
    | st.sampled_from([datetime.date(2026, 1, 1), collections.Counter("ab")]),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
#: Pieces of streams: each opcode with an argument that fits, and what genops and the C loader read
#: differently.
_PIECES = [each.code.encode("latin-1") for each in pickletools.opcodes] + [
    *(b"I0x10\n", b"I1\n", b"I01\n", b"I 7\n", b"L0x10L\n", b"L9\n", b"F1.5\n", b"F1_0\n", b"Fnan\n"),
    *(b"Ix\n", b"cos\nsystem\n", b"(ios\nsystem\n", b"ios\nsystem\n", b"Vos\n", b"Vsystem\n"),
    *(b"S'os'\n", b'S"system"\n', b"\x8c\x02os", b"\x8c\x06system", b"U\x02os", b"X\x02\0\0\0os"),
    *(b"T\x02\0\0\0os", b"\x93", b"p0\n", b"g0\n", b"q\0", b"h\0", b"\x94", b"r\0\0\0\0", b"j\0\0\0\0"),
    *(b"\x80\0", b"\x80\1", b"\x80\2", b"\x80\4", b"(", b"N0", b"\x95\2\0\0\0\0\0\0\0", b"K\1"),
    *(b"M\1\0", b"J\1\0\0\0", b"G\0\0\0\0\0\0\0\0", b"\x8a\1\1", b"\x8b\1\0\0\0\1", b"C\1x"),
    *(b"B\1\0\0\0x", b"\x8e\1\0\0\0\0\0\0\0x", b"\x96\1\0\0\0\0\0\0\0x", b"\x8d\2\0\0\0\0\0\0\0os"),
    *(b"Ppid\n", b"\n", b"x", b".", b"\x82\1", b"text", b"0", b"1", b"2"),
]  # fmt: skip
_STREAMS = st.builds(pickle.dumps, _VALUES, st.integers(0, 5))
_BUILT = st.lists(st.sampled_from(_PIECES), max_size=14).map(b"".join)
_fast = settings(max_examples=300, suppress_health_check=list(HealthCheck))


@_fast
@given(_STREAMS | _BUILT | st.binary(max_size=40))
@example(b"I0x10\n0cos\nsystem\n")
@example(b"c}opy\nx\n0cos\nsystem\n")
@example(b"\x95\x02\0\0\0\0\0\0\0M\0\0\0cos\nsystem\n")
def test_whatever_the_c_unpickler_would_import_is_refused(data: bytes) -> None:
    assert pickles.may_run(data) or not imports(data)


@pytest.mark.slow
@_fast
@given(
    _STREAMS | _BUILT | st.sampled_from(HARMFUL),
    st.lists(st.tuples(st.sampled_from("drip"), st.integers(0, 200), st.sampled_from(_PIECES)), max_size=4),
)
def test_mutated_streams_too(data: bytes, changes: list[tuple[str, int, bytes]]) -> None:
    for kind, place, piece in changes:
        at = place % (len(data) + 1)
        if kind == "d":  # without a byte
            data = data[:at] + data[at + 1 :]
        elif kind == "r":  # another one
            data = data[:at] + piece[:1] + data[at + 1 :]
        elif kind == "i":  # a piece more
            data = data[:at] + piece + data[at:]
        else:  # without what is before
            data = data[at:] if place % 3 else piece + data
    assert pickles.may_run(data) or not imports(data)


@_fast
@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_text_of_one_line_is_never_taken_for_a_pickle(text: str) -> None:
    line = " ".join(text.split())
    assert not pickles.may_run(line.encode()) or not line.isascii()
