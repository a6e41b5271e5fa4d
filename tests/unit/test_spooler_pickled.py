"""What `ipcmules tasks show` says of pickles: plain values as they are, the rest by name; nothing is
loaded."""

from __future__ import annotations

import collections
import datetime
import os
import pickle
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipcmules.spooler.pickled import describe

_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
    | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.tuples(inner, inner)
    | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=300)
@given(_PLAIN, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_values_are_shown_as_they_are(value: object, protocol: int) -> None:
    shown = describe(pickle.dumps(value, protocol), 100_000)
    if protocol > 2 or "not loaded" not in shown:  # old protocols carry bytes as a call
        assert shown == repr(value)


@settings(max_examples=300)
@given(
    st.binary(max_size=60)
    | st.builds(lambda data, cut: data[:cut], st.builds(pickle.dumps, _PLAIN), st.integers(0, 80))
)
def test_it_never_raises(data: bytes) -> None:
    assert describe(data).isprintable()


def test_sets_are_shown() -> None:
    assert describe(pickle.dumps({7})) == "{7}" and describe(pickle.dumps(set())) == "set()"
    assert describe(pickle.dumps(frozenset([7]))) == "frozenset({7})"
    assert describe(pickle.dumps(bytearray(b"x"), 5)) == "bytearray(b'x')"


class Harm:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("/nowhere/at all",)


class Thing:
    def __init__(self) -> None:
        self.colour = "red"


def test_the_rest_is_named() -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        shown = describe(pickle.dumps((Harm(), "mail"), protocol))
        assert shown == "(<posix.mkdir('/nowhere/at all',), not loaded>, 'mail')"
        shown = describe(pickle.dumps(Thing(), protocol))
        assert "Thing" in shown and "'colour': 'red'" in shown
    assert "<datetime.date(" in describe(pickle.dumps(datetime.date(2026, 1, 1)))
    assert "Counter({'a': 2},)" in describe(pickle.dumps(collections.Counter("aa")))
    assert "not loaded" in describe(pickle.dumps(collections.OrderedDict(a=1)))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"]r" + struct.pack("<I", 2**32 - 1) + b".", "[]"),  # gigabytes of memo in an unpickler
        (b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.", "cannot be read"),
        (b"].", "[]"),
        (b"]q\x00h\x00a.", "[[[["),  # it holds itself
        (b"\x80\x04\x8c\x05a\x1b[0mbc.", "cannot be read"),
        (b"Va\\u001b[0m\n.", "'a\\x1b[0m'"),
        (b"co\x1bs\nsys\x1btem\n.", "<o\\x1bs.sys\\x1btem, not loaded>"),
        (b"I" + b"9" * 60_000 + b"\n.", ""),
        (pickle.dumps(10**2000), "a whole number of 6644 bits"),
        (pickle.dumps("x" * 5000), "... (5000 in all)"),
    ],
)  # fmt: skip
def test_hostile_streams(data: bytes, words: str) -> None:
    shown = describe(data)
    assert words in shown and len(shown) < 3000 and "\x1b" not in shown


def test_what_doubles_again_and_again_ends_at_once() -> None:
    stream = b"\x80\x04)\x94" + b"".join(
        b"h" + bytes([each]) + b"h" + bytes([each]) + b"\x86\x94" for each in range(200)
    )
    began = time.monotonic()
    assert describe(stream + b".").endswith(f"... (a pickle of {len(stream) + 1} bytes)")
    assert time.monotonic() - began < 30  # not for ever
