"""Frames: what goes in comes out, nothing exceeds its capacity, and what is no frame is an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipcmules.messages import frames

messages = st.lists(st.binary(max_size=300), min_size=1, max_size=200)


@given(messages)
def test_unpacks_what_was_packed(given_messages: list[bytes]) -> None:
    frame = frames.pack(given_messages)
    for _ in range(3):  # the second and third time by a cached parser
        assert list(frames.unpack(frame)) == given_messages
    assert frames.count_of(frame) == len(given_messages)


@given(messages, st.integers(min_value=302, max_value=8192))
def test_fitting_is_the_most_that_fits(given_messages: list[bytes], capacity: int) -> None:
    count = frames.fitting(given_messages, capacity)
    assert len(frames.pack(given_messages[:count])) <= capacity
    if count < len(given_messages):
        assert len(frames.pack(given_messages[: count + 1])) > capacity
        if count > 1:
            assert frames.fills(given_messages[:count], given_messages[count], capacity)


def test_never_more_than_the_header_counts() -> None:
    assert frames.fitting([b""] * 5000, 1 << 20) == frames.MOST


@given(st.binary(max_size=200))
def test_anything_is_a_frame_or_an_error(garbage: bytes) -> None:
    try:
        found = frames.unpack(garbage)
    except frames.FrameError:
        return
    assert sum(map(len, found)) < len(garbage)


@given(messages, st.data())
def test_a_cut_frame_is_an_error(given_messages: list[bytes], data: st.DataObject) -> None:
    frame = frames.pack([b"x", *given_messages])
    cut = data.draw(st.integers(min_value=2, max_value=len(frame) - 1))
    for _ in range(3):
        with pytest.raises(frames.FrameError):
            frames.unpack(frame[:cut])


def test_a_reference_is_one_message() -> None:
    frame = frames.large(b"s 5 /name")
    assert frames.is_large(frame)
    assert frames.count_of(frame) == 1
    assert list(frames.unpack(frame)) == [b"s 5 /name"]
