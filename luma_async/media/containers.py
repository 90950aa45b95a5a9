"""Containers: detect a video that was cut off before its end."""

from __future__ import annotations

import struct
from typing import IO

_BOXES = frozenset(
    b"ftyp styp pdin moov moof mfra mdat imda free skip wide".split()
    + b"meta meco uuid sidx ssix prft emsg".split()
)
"""Those that may stand at the top of a file."""


def is_cut_off(file: IO[bytes]) -> bool:
    """Whether an MP4 or QuickTime file lacks its end, by the sizes of its boxes.

    Boxes are told by ISO/IEC 14496-12, 4.2. What cannot be judged has not been cut off.
    """
    size = file.seek(0, 2)
    start, kinds = 0, set()
    while start + 8 <= size:
        file.seek(start)
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind not in _BOXES:
            return False
        kinds.add(kind)
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        if length == 0:  # it goes on to the end of the file
            return False
        if length < 8:
            return False
        start += length
    if not kinds:
        return False
    file.seek(min(start, size))
    begins_another = any(file.read(8))
    return start > size or begins_another or not kinds & {b"moov", b"moof"}
