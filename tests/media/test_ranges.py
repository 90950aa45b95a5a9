"""Range requests and the meaning of their responses, for any headers: pure logic."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from luma_async.media.ranges import (
    FileVersion,
    RangeResult,
    place_of,
    range_headers,
    read_range_response,
)

HERE = "host/video.mp4"
counts = st.integers(0, 10**15)
words = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
etags = words.map(lambda word: f'"{word.replace(chr(34), "")}"')
dates = st.just("Sat, 21 Nov 2026 12:00:00 GMT")
versions = st.builds(
    FileVersion,
    st.just(HERE),
    length=counts | st.none(),
    etag=etags | st.none(),
    last_modified=dates | st.none(),
)
content_ranges = (
    st.builds("bytes {}-{}/{}".format, counts, counts, counts | st.just("*"))
    | st.builds("bytes */{}".format, counts)
    | words
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "Content-Range": content_ranges,
        "Content-Length": counts.map(str) | words,
        "ETag": etags | words,
        "Last-Modified": words,
    },
)


@given(versions | st.none(), counts)
def test_a_range_is_requested_only_of_an_identified_version(
    version: FileVersion | None, have: int
) -> None:
    """`If-Range` is always sent; a date or a short `ETag` only to the place of the file."""
    here = range_headers(version, have, HERE)
    elsewhere = range_headers(version, have, "another/video.mp4")

    assert set(here) in ({"Range", "If-Range"}, set())
    if here:
        assert version is not None
        assert have > 0
        assert here["Range"] == f"bytes={have}-"
        assert here["If-Range"] == version.etag or here["If-Range"] == version.last_modified
    if elsewhere:
        assert version is not None
        assert elsewhere["If-Range"] == version.etag
        assert len(version.etag or "") > 12
    assert range_headers(version, have, HERE, watermark_free=True) == {}


@given(st.sampled_from([200, 206, 416]), headers, versions | st.none(), counts)
def test_only_a_matching_range_is_appended(
    status: int, said: dict[str, str], version: FileVersion | None, have: int
) -> None:
    """A range must begin at the end of the part file and have the same version and length."""
    answer, length = read_range_response(status, said, version, have)

    if answer is RangeResult.REST:
        assert status == 206
        assert said["Content-Range"].casefold().startswith(f"bytes {have}-")
        if version is not None and version.length is not None:
            assert length == version.length
    if answer is RangeResult.COMPLETE:
        assert status == 416
        assert length == have
    if status == 200:
        assert answer is RangeResult.WHOLE


@given(versions, counts, counts)
def test_correct_responses_are_understood(version: FileVersion, have: int, more: int) -> None:
    """The rest of a file is appended; where no bytes are missing, the file is complete."""
    have, length = have + 1, have + 1 + more
    known = FileVersion(HERE, length=length, etag=version.etag, last_modified=version.last_modified)
    said = {"Content-Range": f"bytes {have}-{length - 1}/{length}"}
    if version.etag:
        said["ETag"] = version.etag

    if more:
        assert read_range_response(206, said, known, have) == (RangeResult.REST, length)
    else:
        nothing = {"Content-Range": f"bytes */{length}"}
        assert read_range_response(416, nothing, known, have) == (RangeResult.COMPLETE, length)


@given(versions)
def test_a_version_survives_its_document(version: FileVersion) -> None:
    """All fields are restored."""
    assert FileVersion.from_document(version.to_document()) == version


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON | st.fixed_dictionaries({"place": JSON, "length": JSON, "etag": JSON}))
def test_any_document_is_a_version_or_none(document: Any) -> None:
    """Values that would become headers contain no line breaks."""
    version = FileVersion.from_document(document)

    if version is not None:
        assert version.length is None or version.length >= 0
        assert "\n" not in (version.etag or "")
        assert "\r" not in (version.last_modified or "")


@given(words, headers)
def test_a_weak_etag_does_not_identify_a_version(word: str, said: dict[str, str]) -> None:
    """Two versions that look the same may share it (RFC 9110, 8.8.3.2)."""
    assert FileVersion.of(HERE, {**said, "ETag": f'W/"{word}"'}, length=None).etag is None


def test_a_place_is_a_link_without_its_signature() -> None:
    """The signature is a secret, and differs each time."""
    assert place_of("https://user:secret@host:8080/a/b.mp4?sig=x#y") == "host/a/b.mp4"
