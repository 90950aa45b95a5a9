"""Whether a video ends where it says that it ends."""

from __future__ import annotations

import struct
from typing import BinaryIO

_BOXES = frozenset(
    b"ftyp styp pdin moov moof mfra mdat imda free skip wide".split()
    + b"meta meco uuid sidx ssix prft emsg".split()
)
"""Those that may stand at the top of a file."""


def is_cut_off(file: BinaryIO) -> bool:
    """Whether an MP4 or QuickTime file lacks its end, by the sizes of its boxes.

    Boxes are told by ISO/IEC 14496-12, 4.2. What cannot be judged has not been cut off.
    """
    size = file.seek(0, 2)
    start = 0
    while start + 8 <= size:
        file.seek(start)
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind not in _BOXES:
            return False
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        if length == 0:  # it goes on to the end of the file
            return False
        if length < 8:
            return False
        start += length
    return start > size
