"""Whether a film has its end."""

from __future__ import annotations

import io
import struct

from hypothesis import given
from hypothesis import strategies as st

from luma_async.media.file_types import is_truncated

boxes = st.lists(
    st.tuples(
        st.sampled_from([b"moov", b"mdat", b"free", b"uuid"]), st.binary(max_size=40), st.booleans()
    ),
    max_size=5,
)


def film(parts: list[tuple[bytes, bytes, bool]]) -> bytes:
    data = struct.pack(">I4s", 16, b"ftyp") + b"isom\0\0\2\0" + struct.pack(">I4s", 8, b"moov")
    for kind, content, is_long in parts:
        size = len(content) + 8
        data += (
            struct.pack(">I4sQ", 1, kind, size + 8) if is_long else struct.pack(">I4s", size, kind)
        )
        data += content
    return data


@given(boxes)
def test_a_whole_film_is_not_cut_off(parts: list[tuple[bytes, bytes, bool]]) -> None:
    """Whatever boxes it has; and not when the last one goes on to the end of the file."""
    data = film(parts)

    assert not is_truncated(io.BytesIO(data))
    assert not is_truncated(io.BytesIO(data + struct.pack(">I4s", 0, b"mdat") + b"frames"))


@given(boxes, st.binary(min_size=1, max_size=40), st.data())
def test_a_film_that_lacks_its_end_is_cut_off(
    parts: list[tuple[bytes, bytes, bool]], content: bytes, data: st.DataObject
) -> None:
    """Wherever in its last box it ends."""
    whole = film([*parts, (b"mdat", content, False)])
    lacking = data.draw(st.integers(1, len(content)))

    assert is_truncated(io.BytesIO(whole[:-lacking]))


@given(boxes, st.sampled_from([b"mdat", b"free"]), st.integers(1, 7))
def test_a_film_that_ends_within_the_head_of_a_box_is_cut_off(
    parts: list[tuple[bytes, bytes, bool]], kind: bytes, bytes_left: int
) -> None:
    """Too little is left of it to tell its size, yet something follows."""
    head = struct.pack(">I4s", 0x01020304, kind)

    assert is_truncated(io.BytesIO(film(parts) + head[:bytes_left]))
    assert not is_truncated(io.BytesIO(film(parts) + bytes(bytes_left)))


def test_a_film_without_an_index_is_cut_off() -> None:
    """No player can tell its frames apart (`moov`, or `moof` where it comes in fragments)."""
    data = struct.pack(">I4s", 16, b"ftyp") + b"isom\0\0\2\0" + struct.pack(">I4s", 8, b"mdat")

    assert is_truncated(io.BytesIO(data))
    assert not is_truncated(io.BytesIO(data + struct.pack(">I4s", 8, b"moof")))


@given(st.binary(max_size=200))
def test_what_is_no_film_is_left_alone(data: bytes) -> None:
    """Other kinds of file are not judged, and none of them makes this fail or go on for ever."""
    if data[4:8] != b"ftyp":
        is_truncated(io.BytesIO(data))
        assert not is_truncated(io.BytesIO(b"\x1aE\xdf\xa3\x01\x00\x00\x00" + data))
