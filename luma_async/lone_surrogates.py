"""Half characters: lone surrogates, which no text on the wire or on a disk can hold."""

from __future__ import annotations

import re

_HALF = re.compile("[\ud800-\udfff]")


def holds_half_character(text: str) -> bool:
    r"""Return whether a text cannot be encoded.

    >>> holds_half_character("\ud83d"), holds_half_character("\N{CAT}")
    (True, False)
    """
    return not text.isascii() and _HALF.search(text) is not None
