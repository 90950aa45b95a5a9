"""Whether a video ends where it says that it ends."""

from __future__ import annotations

import struct
from typing import BinaryIO

_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


def is_cut_off(file: BinaryIO) -> bool:
    """Whether an MP4 or QuickTime file lacks its end, by the sizes of its boxes.

    Anything else is not (ISO/IEC 14496-12, 4.2): a file that cannot be judged is left alone.
    """
    size = file.seek(0, 2)
    start, is_first = 0, True
    while start + 8 <= size:
        file.seek(start)
        length, kind = struct.unpack(">I4s", file.read(8))
        if is_first and kind not in _FIRST_BOXES:
            return False
        if not (kind.isascii() and kind.decode("ascii").isprintable()):
            return False  # not a box, so whatever was there has ended
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        if length == 0:  # it goes on to the end of the file
            return False
        if length < 8:
            return False
        start, is_first = start + length, False
    return start > size
