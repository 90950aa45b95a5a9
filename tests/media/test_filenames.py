"""File names are valid on every system, for job ids with any characters."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from luma_async.media.filenames import LONGEST_STEM, safe_stem


@given(st.text(max_size=400))
def test_a_name_is_valid_on_every_system(id: str) -> None:
    """Names consist of letters, digits, hyphens and underscores, and are not device names."""
    stem = safe_stem(id)

    assert 0 < len(stem) <= LONGEST_STEM + 10
    assert stem.isascii()
    assert all(letter.isalnum() or letter in "-_" for letter in stem)
    assert stem.lower() not in {"con", "prn", "aux", "nul", "com1", "lpt9"}


@given(st.text(max_size=30), st.text(max_size=30))
def test_two_ids_have_two_names(one: str, other: str) -> None:
    """Names differ even if a system ignores case or normalises Unicode."""
    if one != other:
        names = [unicodedata.normalize("NFC", safe_stem(id)).casefold() for id in (one, other)]
        assert names[0] != names[1] or one.casefold() == other.casefold()
