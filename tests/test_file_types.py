"""Truncated MP4 and QuickTime files are detected."""

from __future__ import annotations

import io
import struct

from hypothesis import given
from hypothesis import strategies as st

from luma_async.file_types import is_truncated

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
def test_a_complete_video_is_not_truncated(parts: list[tuple[bytes, bytes, bool]]) -> None:
    """Any boxes are accepted, and the last box may have no size."""
    data = film(parts)

    assert not is_truncated(io.BytesIO(data))
    assert not is_truncated(io.BytesIO(data + struct.pack(">I4s", 0, b"mdat") + b"frames"))


@given(boxes, st.binary(min_size=1, max_size=40), st.data())
def test_a_video_without_its_end_is_truncated(
    parts: list[tuple[bytes, bytes, bool]], content: bytes, data: st.DataObject
) -> None:
    """The end may be missing at any position in the last box."""
    whole = film([*parts, (b"mdat", content, False)])
    lacking = data.draw(st.integers(1, len(content)))

    assert is_truncated(io.BytesIO(whole[:-lacking]))


@given(boxes, st.sampled_from([b"mdat", b"free"]), st.integers(1, 7))
def test_a_video_that_ends_within_a_box_header_is_truncated(
    parts: list[tuple[bytes, bytes, bool]], kind: bytes, bytes_left: int
) -> None:
    """The size of the last box is unknown, but its header has begun."""
    head = struct.pack(">I4s", 0x01020304, kind)

    assert is_truncated(io.BytesIO(film(parts) + head[:bytes_left]))
    assert not is_truncated(io.BytesIO(film(parts) + bytes(bytes_left)))


def test_a_video_without_an_index_is_truncated() -> None:
    """Players need `moov`, or `moof` in a fragmented file."""
    data = struct.pack(">I4s", 16, b"ftyp") + b"isom\0\0\2\0" + struct.pack(">I4s", 8, b"mdat")

    assert is_truncated(io.BytesIO(data))
    assert not is_truncated(io.BytesIO(data + struct.pack(">I4s", 8, b"moof")))


@given(st.binary(max_size=200))
def test_other_files_are_never_truncated(data: bytes) -> None:
    """Files of other types are not judged. The check never fails and always ends."""
    if data[4:8] != b"ftyp":
        is_truncated(io.BytesIO(data))
        assert not is_truncated(io.BytesIO(b"\x1aE\xdf\xa3\x01\x00\x00\x00" + data))
