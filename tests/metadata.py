"""Any JSON object, with all characters that a Python text may have."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

_TEXTS = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
_NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXTS,
    lambda values: st.lists(values, max_size=5) | st.dictionaries(_TEXTS, values, max_size=5),
    max_leaves=20,
)

JSON_OBJECTS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(_TEXTS, _VALUES, max_size=5)
"""Lone surrogates and null characters are among the characters."""
